"""Whether a batch gives what its items give is judged on numbers that would show it."""

import re
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import batching_models as graphs
from tcli_server.backends.onnxruntime.batch_proof import check_batching


def mixes_above(path: Path, limit: float, kind: int = TensorProto.FLOAT, mask: bool = False) -> Path:
    """y = x, plus 1 in every row of a column in which any row of the batch is above the limit.

    With a mask (of zeros and ones, an index into a table of two rows), y is multiplied by the table's numbers.
    """
    nodes = [
        helper.make_node("Cast", ["x"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["values"], ["highest"], name="over_the_batch", axes=[0], keepdims=1),
        helper.make_node("Greater", ["highest", "limit"], ["above"]),
        helper.make_node("Cast", ["above"], ["more"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["values", "more"], ["sum"]),
        *(
            [
                helper.make_node("Gather", ["table", "attention_mask"], ["factors"]),
                helper.make_node("Mul", ["sum", "factors"], ["y"]),
            ]
            if mask
            else [helper.make_node("Identity", ["sum"], ["y"])]
        ),
    ]
    inputs = {"x": ["N", 64]} | ({"attention_mask": ["N", 64]} if mask else {})
    constants = [
        numpy_helper.from_array(np.array(limit, np.float32), "limit"),
        numpy_helper.from_array(np.array([1, 2], np.float32), "table"),
    ]
    return graphs.save(
        path, nodes, inputs, {"y": ["N", 64]}, constants, {"x": kind, "attention_mask": TensorProto.INT64}
    )


def test_items_differ_in_size(tmp_path):
    """Of normal numbers hardly any is above 6."""
    file = mixes_above(tmp_path / "m.onnx", 6)
    assert check_batching(file, file, {"x": (64,)}).outcome == "wrong"


def test_integers_are_large_where_the_model_takes_that(tmp_path):
    file = mixes_above(tmp_path / "m.onnx", 200, TensorProto.INT32)
    assert check_batching(file, file, {"x": (64,)}).outcome == "wrong"


def test_masks_stay_zeros_and_ones(tmp_path):
    file = mixes_above(tmp_path / "m.onnx", 200, TensorProto.INT64, mask=True)
    assert check_batching(file, file, {"x": (64,), "attention_mask": (64,)}).outcome == "wrong"


def test_small_integers_where_large_ones_are_out_of_a_table(tmp_path):
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
    file = graphs.save(
        *(tmp_path / "m.onnx", nodes, {"x": ["N", 64]}, {"y": ["N", 64]}, [graphs.floats("table", 2)]),
        {"x": TensorProto.INT64},
    )
    assert check_batching(file, file, {"x": (64,)}).difference == 0


def test_random_answers_cannot_be_compared(tmp_path):
    nodes = [helper.make_node("RandomNormalLike", ["x"], ["noise"]), helper.make_node("Add", ["x", "noise"], ["y"])]
    file = graphs.save(tmp_path / "m.onnx", nodes, {"x": ["N", 4]}, {"y": ["N", 4]})
    verdict = check_batching(file, file, {"x": (4,)})
    assert verdict.outcome == "unchecked"
    assert re.search("two runs on the same input give different answers", verdict.reason)


def test_larger_sizes_are_tried_where_answers_are_alike(tmp_path):
    """What lies behind the first forty numbers is nothing for a length of 8 or 32."""
    nodes = [helper.make_node("Slice", ["x", "from", "to", "axis"], ["y"])]
    constants = [graphs.integers("from", 40), graphs.integers("to", 2**62), graphs.integers("axis", 1)]
    file = graphs.save(tmp_path / "m.onnx", nodes, {"x": ["N", "L"]}, {"y": ["N", "K"]}, constants)
    assert check_batching(file, file, {"x": (-1,)}).sizes == (2, 3, 8)


def test_answers_that_are_close_to_each_other_are_still_told_apart(tmp_path):
    """A softmax that is nearly sure: items differ in the third digit, and batches must differ by much less."""
    nodes = [
        helper.make_node("Mul", ["x", "small"], ["little"]),
        helper.make_node("ReduceMean", ["little"], ["mean"], name="mean", axes=[0], keepdims=1),
        helper.make_node("Add", ["mean", "one"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(0.002, np.float32), "small"),
        numpy_helper.from_array(np.array(1, np.float32), "one"),
    ]
    file = graphs.save(tmp_path / "m.onnx", nodes, {"x": ["N", 4]}, {"y": ["N", 4]}, constants)
    assert check_batching(file, file, {"x": (4,)}).outcome == "wrong"


def test_a_batch_that_fails_is_a_wrong_one(tmp_path):
    nodes = [
        helper.make_node("Squeeze", ["x", "axis"], ["flat"], name="drop"),
        helper.make_node("Unsqueeze", ["flat", "axis"], ["y"]),
    ]
    file = graphs.save(tmp_path / "m.onnx", nodes, {"x": ["N", 4]}, {"y": ["N", 4]}, [graphs.integers("axis", 0)])
    verdict = check_batching(file, file, {"x": (4,)})
    assert verdict.outcome == "wrong"
    assert re.search(r"'drop' \(Squeeze\) does not take a batch", verdict.reason)


def test_half_precision_is_compared_more_loosely(tmp_path):
    half = TensorProto.FLOAT16
    weights = np.random.default_rng(1).standard_normal((512, 16)).astype(np.float16)
    nodes = [helper.make_node("MatMul", ["x", "weights"], ["y"])]
    file = graphs.save(
        *(tmp_path / "m.onnx", nodes, {"x": ["N", 512]}, {"y": ["N", 16]}),
        [numpy_helper.from_array(weights, "weights")],
        {"x": half, "y": half},
    )
    assert check_batching(file, file, {"x": (512,)}).difference < 0.02
