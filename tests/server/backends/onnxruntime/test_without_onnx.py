"""Serving needs ONNX Runtime, not the package `onnx`: what is served where that cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from onnx_models import add_sub, identity
from tcli_server.backends.onnxruntime.backend import PROBE

CONFIGURED = """
name: "configured"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] }, { name: "INPUT1" data_type: TYPE_FP32 dims: [ 16 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] }, { name: "OUTPUT1" data_type: TYPE_FP32 dims: [ 16 ] } ]
"""
SCALAR = """
name: "scalar"
platform: "onnxruntime_onnx"
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
PROGRAM = """
import logging
import sys
import numpy as np
from tcli_server import Engine, EngineOptions

logging.basicConfig(level=logging.INFO)

with Engine(sys.argv[1], options=EngineOptions(exit_on_error=False)) as engine:
    ones = np.ones((2, 16), np.float32)
    answer = engine.infer("configured", {"INPUT0": ones, "INPUT1": ones})
    assert answer.outputs["OUTPUT0"].tolist() == (2 * ones).tolist()
    assert engine.infer("scalar", {"INPUT0": np.ones(1, np.float32)}).outputs["OUTPUT0"].tolist() == [1]
    numbers = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert engine.infer("bare", {"INPUT0": numbers}).outputs["OUTPUT0"].tolist() == numbers.tolist()
    print([(each.name, each.state, each.reason) for each in engine.repository_index().models])
assert "onnx" not in sys.modules
"""


def write(root: Path, name: str, model: bytes, config: str = "") -> None:
    (root / name / "1").mkdir(parents=True)
    (root / name / "1" / "model.onnx").write_bytes(model)
    if config:
        (root / name / "config.pbtxt").write_text(config)


@pytest.fixture
def without_onnx(tmp_path: Path) -> dict[str, str]:
    """An environment in which `import onnx` fails."""
    stub = tmp_path / "stub" / "onnx"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("raise ImportError('not here')")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(stub.parent), *filter(None, sys.path)])}


def test_models_are_served(tmp_path: Path, without_onnx: dict[str, str]):
    models = tmp_path / "models"
    write(models, "configured", add_sub(), CONFIGURED)
    write(models, "bare", identity())
    write(models, "scalar", identity(shape=()), SCALAR)
    write(models, "pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    write(models, "broken", identity()[:40])
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, models],
        env=without_onnx,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "not looked into" in ran.stderr
    states = {name: (state, reason) for name, state, reason in eval(ran.stdout)}
    assert {name for name, (state, _) in states.items() if state == "READY"} == {"configured", "bare", "scalar"}
    assert "Git LFS" in states["pointer"][1]
    assert "refused by ONNX Runtime" in states["broken"][1]


def test_the_probe_for_a_gpu_is_a_model():
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("X", "Y")]
    graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "probe", ends[:1], ends[1:])
    expected = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    assert onnx.ModelProto.FromString(PROBE) == expected
