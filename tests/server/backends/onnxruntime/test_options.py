"""Parameters of a configuration that ONNX Runtime reads itself: a model that is ready answers, and no file is blamed for them."""

import re
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import onnx_models
from repositories import write_model
from tcli_server import Engine
from tcli_server.models.check import check_repository

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


WRONG = {
    "session.dynamic_block_base": ("abc", "", "-1", "99999999999999999999"),
    "session.qdq_matmulnbits_accuracy_level": ("abc", "", "-1", "5", "99999999999999999999"),
    "session.disable_cpu_ep_fallback": ("1", "yes"),
    "session.set_denormal_as_zero": ("1", "yes"),
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_value_that_no_session_takes_is_a_mistake_of_the_configuration(key: str, value: str, tmp_path: Path):
    _write(tmp_path, **{key: value})
    problems = check_repository(tmp_path)
    assert [(problem.file.name, problem.field, problem.found) for problem in problems] == [
        ("config.pbtxt", f'parameters["{key}"]', f"'{value}'")
    ]
    right = re.search('string_value: "(.*?)"', problems[0].fix)
    assert right is not None
    _write(tmp_path, **{key: right[1]})
    assert check_repository(tmp_path) == []
    assert np.array([1e-310])[0] * np.float64(0.5) > 0  # no model changes what the processor does for the others


def test_parameters_may_be_to_blame_where_a_session_is_refused(tmp_path: Path):
    """This file names a tensor that is not there, and nobody could tell that from a value that does not suit it."""
    node = helper.make_node("Identity", ["NOWHERE"], ["Y"])
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "XY"]
    graph = helper.make_graph([node], "test", info[:1], info[1:])
    content = helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET).SerializeToString()
    write_model(tmp_path, "plain", content, 'platform: "onnxruntime_onnx"')
    parameter = 'parameters { key: "session.use_env_allocators" value { string_value: "1" } }'
    write_model(tmp_path, "special", content, parameter)
    plain, special = (check_repository(tmp_path, name)[-1].fix for name in ("plain", "special"))
    assert "parameters" not in plain
    assert "session.use_env_allocators" in special
