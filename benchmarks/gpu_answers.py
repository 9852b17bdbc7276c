"""Whether the providers and engines that no test machine has give the CPU's answers, and how fast they are.

    python benchmarks/gpu_answers.py [--seconds 2] [--json FILE]

One model, the scaffold's EfficientNet-Lite0, is served by each way that this machine has: ONNX Runtime on the CPU, by its
OpenVINO, CUDA and TensorRT providers, and as a TensorRT engine that is built here. Batches of several sizes are compared with
the CPU's answers; a difference is relative to the largest value. The exit status is 1 where one is larger than it may be, and
says nothing of ways that are not here, which are listed with the reason.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from running import write_json
from tcli_server import Engine
from tcli_server.hardware.gpu import gpu_count

REFERENCE = "onnxruntime_cpu"
MOST = 8
SIZES = (1, 8, 3, 8, 1)
"""Batches that are compared, in this order: memory is used again where sizes come again."""


@dataclass(frozen=True)
class Way:
    """One way to run the model.

    Attributes:
        config: what the configuration says besides max_batch_size.
        tolerance: how much answers may differ; of what computes in fewer bits, more.
        write: makes the model's file from the ONNX model; raises where that cannot be done here.
    """

    name: str
    config: str
    tolerance: float
    write: Callable[[onnx.ModelProto, Path], None]
    on_gpu: bool = True


@dataclass(frozen=True)
class Result:
    """What became of a way: a difference and images per second, or why it is not here."""

    name: str
    difference: float | None = None
    tolerance: float | None = None
    rate: float | None = None
    reason: str = ""

    @property
    def is_wrong(self) -> bool:
        return self.difference is not None and not self.difference <= (self.tolerance or 0)


def write_onnx(model: onnx.ModelProto, version: Path) -> None:
    onnx.save(model, version / "model.onnx")


def write_plan(model: onnx.ModelProto, version: Path) -> None:
    """Build an engine in full FP32, which the CPU's answers can be compared with."""
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.SerializeToString()):
        raise RuntimeError(f"TensorRT does not read the model: {parser.get_error(0)}")
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        item = list(tensor.shape)[1:]
        profile.set_shape(tensor.name, [1, *item], [MOST, *item], [MOST, *item])
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    config.clear_flag(trt.BuilderFlag.TF32)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("TensorRT cannot build an engine of the model")
    (version / "model.plan").write_bytes(bytes(plan))


def accelerator(side: str, name: str, **parameters: str) -> str:
    lines = " ".join(f'parameters {{ key: "{key}" value: "{value}" }}' for key, value in parameters.items())
    return f'optimization {{ execution_accelerators {{ {side}_execution_accelerator: [ {{ name: "{name}" {lines} }} ] }} }}'


ON_CPU, ON_GPU = "instance_group { kind: KIND_CPU } ", "instance_group { kind: KIND_GPU } "
WAYS = (
    Way("openvino_provider", ON_CPU + accelerator("cpu", "openvino"), 1e-3, write_onnx, on_gpu=False),
    Way("openvino_provider_bf16", ON_CPU + accelerator("cpu", "openvino", precision="BF16"), 1e-1, write_onnx, on_gpu=False),
    Way("cuda", ON_GPU + accelerator("gpu", "cuda", use_tf32="0"), 1e-3, write_onnx),
    Way("cuda_tf32", ON_GPU, 2e-2, write_onnx),
    Way("cuda_graphs", ON_GPU + accelerator("gpu", "cuda", use_tf32="0", enable_cuda_graph="1"), 1e-3, write_onnx),
    Way("tensorrt_provider", ON_GPU + accelerator("gpu", "tensorrt", trt_engine_cache_enable="1"), 2e-2, write_onnx),
    Way("tensorrt_provider_fp16", ON_GPU + accelerator("gpu", "tensorrt", precision_mode="FP16"), 5e-2, write_onnx),
    Way("tensorrt_engine", ON_GPU, 1e-3, write_plan),
    Way("tensorrt_engine_2_instances", "instance_group { kind: KIND_GPU count: 2 }", 1e-3, write_plan),
)  # fmt: skip


def served(
    way: Way, model: onnx.ModelProto, answers: list[np.ndarray], batches: list[np.ndarray], seconds: float
) -> Result:
    if way.on_gpu and not gpu_count():
        return Result(way.name, reason="NVML finds no GPU")
    with tempfile.TemporaryDirectory() as folder:
        try:
            write(way, model, Path(folder))
        except Exception as error:  # whatever a framework raises that is not here, or does not work
            return Result(way.name, reason=f"{type(error).__name__}: {error}")
        with Engine(folder) as engine:
            (row,) = engine.repository_index().models
            if row.state != "READY":
                return Result(way.name, reason=" ".join(row.reason.split()))
            difference = max(
                relative(run(engine, way.name, model, batch), answer)
                for batch, answer in zip(batches, answers, strict=True)
            )
            count, start = 0, time.monotonic()
            while time.monotonic() - start < seconds:
                run(engine, way.name, model, batches[1])
                count += len(batches[1])
            return Result(way.name, difference, way.tolerance, count / (time.monotonic() - start))


def write(way: Way, model: onnx.ModelProto, repository: Path) -> None:
    version = repository / way.name / "1"
    version.mkdir(parents=True)
    way.write(model, version)
    (repository / way.name / "config.pbtxt").write_text(f"max_batch_size: {MOST}\n{way.config}\n")


def run(engine: Engine, name: str, model: onnx.ModelProto, batch: np.ndarray) -> np.ndarray:
    return engine.infer(name, {model.graph.input[0].name: batch}).outputs[model.graph.output[0].name]


def relative(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(np.float64) - other).max() / np.abs(other).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each way is measured")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    from tcli_server.zoo.efficientnet_lite0 import build_efficientnet_lite0

    model = build_efficientnet_lite0()
    random = np.random.default_rng(0)
    batches = [random.normal(size=(size, 3, 224, 224)).astype(np.float32) for size in SIZES]
    reference = Way(REFERENCE, ON_CPU, 0.0, write_onnx, on_gpu=False)
    with tempfile.TemporaryDirectory() as folder:
        write(reference, model, Path(folder))
        with Engine(folder) as engine:
            answers = [run(engine, REFERENCE, model, batch) for batch in batches]
    results = [served(way, model, answers, batches, options.seconds) for way in (reference, *WAYS)]
    write_json(options.json, [asdict(result) for result in results])
    for one in results:
        if one.reason:
            print(f"{one.name:28} not here: {one.reason}")
        else:
            verdict = "WRONG" if one.is_wrong else "right"
            print(f"{one.name:28} {verdict}: {one.difference:.2e} of {one.tolerance:.0e}, {one.rate:7.1f} images/s")
    return int(any(one.is_wrong for one in results))


if __name__ == "__main__":
    sys.exit(main())
