"""How many threads an instance uses, and what instances share."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tcli_server import Engine
from tcli_server.backends import Placement, Surroundings
from tcli_server.backends.registry import backend

torch = pytest.importorskip("torch")
from tritonclient.grpc.model_config_pb2 import ModelConfig  # noqa: E402

import torch_models as models  # noqa: E402
from torch_models import tensor  # noqa: E402


def test_each_instance_has_threads_of_its_own(tmp_path: Path):
    io = tensor("input", "x", "-1") + tensor("output", "OUTPUT__0", "-1")
    file = models.write_script(tmp_path, "model", models.Identity(), io)
    config = ModelConfig(name="model")
    config.input.add(name="x", data_type="TYPE_FP32", dims=[-1])
    config.output.add(name="OUTPUT__0", data_type="TYPE_FP32", dims=[-1])
    before = torch.get_num_threads()

    def threads(count: int) -> tuple[int, ...]:
        placement = Placement("model_0", None, count)
        instance = backend("pytorch").open(config, file, placement, Surroundings(tmp_path, 1))
        seen = []
        for _ in range(2):
            instance.run({"x": np.ones(4, np.float32)}, ["OUTPUT__0"])
            seen.append(torch.get_num_threads())
        instance.close()
        return tuple(seen)

    for count in (1, 3, 2):
        with ThreadPoolExecutor(1) as worker:
            assert worker.submit(threads, count).result() == (count, count)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("shared", [True, False])
def test_weights_are_shared_where_that_is_asked_for(tmp_path: Path, shared: bool):
    class Counts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count += 1
            return self.count + 0 * x

    config = tensor("input", "x", "1") + tensor("output", "OUTPUT__0", "1")
    config += f'parameters {{ key: "ENABLE_WEIGHT_SHARING" value {{ string_value: "{shared}" }} }}'
    models.write_script(tmp_path, "model", Counts(), config, count=2)
    with Engine(tmp_path) as engine:
        instances = [placed.instance for placed in engine.model("model").instances]
        x = {"x": np.zeros(1, np.float32)}
        answers = [float(instance.run(x, ["OUTPUT__0"])[0][0]) for instance in instances]
    assert answers == ([1, 2] if shared else [1, 1])
