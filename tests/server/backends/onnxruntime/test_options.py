"""Parameters of a configuration that ONNX Runtime reads only when a model runs: a model that is ready answers."""

from pathlib import Path

import numpy as np
import pytest

import onnx_models
from repositories import write_model
from tcli_server import Engine

SHRINKAGE = "memory.enable_memory_arena_shrinkage"


def _write(repository: Path, **parameters: str) -> None:
    lines = [f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in parameters.items()]
    write_model(repository, "m", onnx_models.identity(), "\n".join(lines))


@pytest.mark.parametrize("devices", ["cpu:0", "gpu:0", "cpu:0;gpu:0", "gpu:7;cpu:0", ""])
@pytest.mark.parametrize("arena", ["0", "1"])
def test_memory_is_given_back_where_there_is_any(devices: str, arena: str, tmp_path: Path):
    _write(tmp_path, **{SHRINKAGE: devices, "enable_mem_arena": arena})
    with Engine(tmp_path) as engine:
        given = np.ones((2, 4), np.float32)
        assert engine.infer("m", {"INPUT0": given}).outputs["OUTPUT0"].tolist() == given.tolist()


@pytest.mark.parametrize("devices", ["1", "true", "cpu", "cpu:1", "cpu:0;", "cpu:0;;gpu:0", "cpu:0,gpu:0"])
def test_what_names_no_device_is_refused_before_it_fails_each_request(devices: str, tmp_path: Path):
    _write(tmp_path, **{SHRINKAGE: devices})
    with Engine(tmp_path) as engine:
        (row,) = engine.repository_index().models
        assert row.state != "READY"
        assert f"'{devices}'" in row.reason
        assert "cpu:0" in row.reason
