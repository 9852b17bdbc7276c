"""The shapes with which a model answers, for whoever has to give some."""

from pathlib import Path

import pytest
from onnx import helper

import batching_models as graphs
from tcli_server.proof import find_shapes


@pytest.mark.parametrize(
    ("dims", "output", "batch", "expected"),
    [
        ("[ -1 ]", "[ -1 ]", 8, (4,)),
        ("[ -1, -1 ]", "[ -1, -1 ]", 0, (1, 4)),
        ("[ -1, 9 ]", "[ -1, -1 ]", 0, (1, 9)),
        ("[ 3, -1 ]", "[ -1 ]", 8, None),
    ],
)
def test_the_smallest_item_that_runs(tmp_path: Path, dims: str, output: str, batch: int, expected):
    repository = graphs.write(tmp_path, "m", graphs.pools_four, graphs.config_of("m", batch, dims, output))
    assert find_shapes(repository / "m") == ({"x": expected} if expected else None)


def test_no_item_that_runs(tmp_path: Path):
    graphs.wants_large_numbers(tmp_path / "m" / "1" / "model.onnx")
    assert find_shapes(tmp_path / "m") is None
    (tmp_path / "no" / "1").mkdir(parents=True)
    (tmp_path / "no" / "1" / "model.onnx").write_bytes(b"no model")
    assert find_shapes(tmp_path / "no") is None


def test_a_scalar_input_is_given_a_scalar(tmp_path: Path):
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    graphs.save(tmp_path / "m" / "1" / "model.onnx", nodes, {"x": ["L"], "factor": []}, {"y": ["L"]})
    (tmp_path / "m" / "config.pbtxt").write_text("max_batch_size: 0")
    assert find_shapes(tmp_path / "m") == {"x": (1,), "factor": (1,)}


def test_an_only_dimension_may_have_to_be_more_than_one(tmp_path: Path):
    """It was taken for the model's own batch dimension first."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["u"]),
        helper.make_node("MaxPool", ["u"], ["p"], kernel_shape=[4]),
        helper.make_node("Squeeze", ["p", "axes"], ["y"]),
    ]
    file = tmp_path / "m" / "1" / "model.onnx"
    graphs.save(file, nodes, {"x": ["L"]}, {"y": ["K"]}, [graphs.integers("axes", 0, 1)])
    (tmp_path / "m" / "config.pbtxt").write_text(graphs.config_of("m", 0, "[ -1 ]", "[ -1 ]"))
    assert find_shapes(tmp_path / "m") == {"x": (4,)}
