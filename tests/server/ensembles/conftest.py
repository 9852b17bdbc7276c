"""A repository with models for steps."""

from pathlib import Path

import pytest
from onnx import TensorProto

import onnx_models
from ensemble_models import ensemble, write_ensemble
from repositories import write_model

PLAIN = """
backend: "onnxruntime" max_batch_size: 8 dynamic_batching { }
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] }, { name: "INPUT1" data_type: TYPE_FP32 dims: [ 16 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] }, { name: "OUTPUT1" data_type: TYPE_FP32 dims: [ 16 ] } ]
"""
BOTH = {"INPUT0": "A", "INPUT1": "B"}
PIPE = ensemble(
    ["A", "B"],
    ["TWICE", "DIFFERENCE"],
    [
        ("second", {"INPUT0": "s", "INPUT1": "A"}, {"OUTPUT0": "TWICE"}),
        ("first", BOTH, {"OUTPUT0": "s", "OUTPUT1": "DIFFERENCE"}),
    ],
)
"""TWICE = A + B + A, DIFFERENCE = A - B; the steps are not in the order in which they run."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """`first`, `second` and `third` add and subtract; `pipe` is made of the first two; `ids` is for INT32."""
    for name in ("first", "second", "third"):
        write_model(tmp_path, name, onnx_models.add_sub(), PLAIN)
    write_model(tmp_path, "ids", onnx_models.identity(TensorProto.INT32, ("N", 16)))
    write_ensemble(tmp_path, "pipe", PIPE)
    return tmp_path
