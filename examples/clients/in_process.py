"""Runs a model of a repository in this process: the same batching and configuration, no server and no network.

tcli repo init
python examples/clients/in_process.py
"""

import argparse
import asyncio

import numpy as np

from tcli_server import Engine

MODEL = "efficientnet_lite0"


async def classify_many(engine: Engine, count: int) -> list[int]:
    """`count` requests at once; the dynamic batcher runs them together."""
    (tensor,) = engine.model_metadata(MODEL).inputs
    pictures = np.random.default_rng(0).uniform(-1, 1, (count, 1, *tensor.shape[1:])).astype(np.float32)
    responses = await asyncio.gather(*(engine.infer_async(MODEL, {tensor.name: picture}) for picture in pictures))
    return [int(next(iter(response.outputs.values())).argmax()) for response in responses]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-repository", default="model_repository")
    with Engine(parser.parse_args().model_repository) as engine:
        print("classes:", asyncio.run(classify_many(engine, 16)))
        (statistics,) = engine.statistics(MODEL).model_stats
        print(f"{statistics.inference_count} inferences in {statistics.execution_count} executions")
