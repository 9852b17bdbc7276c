"""A new model batches only where a batch was seen to give what its items give alone."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import batching_models as graphs
from tcli_server import Engine
from tcli_server.models.check import check_repository
from tcli_server.zoo import AddedModel, add_model


def add(file: Path, **more: object) -> AddedModel:
    return add_model(file, file.parent / "models", **more)


@pytest.mark.parametrize(
    ("time", "batch", "says"),
    [
        ("seq_len", "batch_size", r"'x' has its batch on axis 1 \('batch_size'\)"),
        ("T", "N", r"'x' has its batch on axis 1 \('N'\)"),
        ("seq_len", "B", "has its batch on axis 1"),
        ("sequence_length", "width", "first dimension of 'x' is called 'sequence_length'"),
        ("time", None, "first dimension of 'x' is called 'time'"),
        ("input_frames", None, "first dimension of 'x' is called 'input_frames'"),
        (None, None, r"not what 2 single items give.*\(LSTM\) does not keep the items apart"),
        ("dim_0", "dim_1", "not what 2 single items give"),
        ("batch", "dim_1", "not what 2 single items give"),
    ],
)
def test_a_sequence_in_front_is_no_batch(tmp_path: Path, time, batch, says):
    added = add(graphs.recurrent(tmp_path / "m.onnx", time, batch))
    assert added.config.max_batch_size == 0
    assert not added.config.HasField("dynamic_batching")
    assert list(added.config.input[0].dims) == [-1, -1, 3]
    assert added.notes[0].startswith("max_batch_size is 0: ")
    assert re.search(says, added.notes[0])


@pytest.mark.parametrize("batch", ["N", "batch", None])
def test_a_model_that_mixes_rows_is_not_batched_whatever_its_names_say(tmp_path: Path, batch):
    added = add(graphs.normalizes_over_the_batch(tmp_path / "m.onnx", batch))
    assert added.config.max_batch_size == 0
    assert "'over_the_batch' (ReduceMean) does not keep the items apart" in added.notes[0]
    assert "--max-batch-size" in added.notes[0]
    assert check_repository(tmp_path / "models") == []


def test_clients_of_an_added_model_do_not_get_each_others_answers(tmp_path: Path):
    """Twelve sequences at once: each answer is that of its own sequence."""
    add(graphs.recurrent(tmp_path / "m.onnx"))
    random = np.random.default_rng(1)
    sequences = [random.standard_normal((1, 1, 3)).astype(np.float32) for _ in range(12)]
    with Engine(tmp_path / "models") as engine, ThreadPoolExecutor(12) as clients:
        alone = [engine.infer("m", {"x": one}).outputs["y"] for one in sequences]
        together = list(clients.map(lambda one: engine.infer("m", {"x": one}).outputs["y"], sequences))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_dynamic_quantization_is_noted_and_not_batched_silently(tmp_path: Path):
    file = graphs.quantized(tmp_path / "m.onnx")
    added = add(file)
    assert added.config.max_batch_size == 0
    assert "dynamically quantized (DynamicQuantizeLinear)" in added.notes[0]
    asked = add(file, name="asked", max_batch_size=4)
    assert asked.config.max_batch_size == 4
    assert asked.notes[0].startswith("max_batch_size is 4 as asked for, but the model is dynamically quantized")


def test_dynamic_quantization_inside_of_a_branch_is_found(tmp_path: Path):
    def branch(name: str) -> object:
        nodes = [
            helper.make_node("DynamicQuantizeLinear", ["x"], [f"{name}q", f"{name}s", f"{name}z"]),
            helper.make_node("DequantizeLinear", [f"{name}q", f"{name}s", f"{name}z"], [f"{name}y"]),
        ]
        value = helper.make_tensor_value_info(f"{name}y", TensorProto.FLOAT, ["N", 4])
        return helper.make_graph(nodes, name, [], [value])

    nodes = [helper.make_node("If", ["yes"], ["y"], then_branch=branch("a"), else_branch=branch("b"))]
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    added = add(graphs.save(tmp_path / "m.onnx", nodes, {"x": ["N", 4]}, {"y": ["N", 4]}, [yes]))
    assert added.config.max_batch_size == 0
    assert "DynamicQuantizeLinear" in added.notes[0]


def test_what_is_asked_for_is_done_with_a_warning(tmp_path: Path):
    added = add(graphs.normalizes_over_the_batch(tmp_path / "m.onnx"), max_batch_size=4)
    assert added.config.max_batch_size == 4
    assert added.notes[0].startswith("max_batch_size is 4 as asked for, but a batch is not what its items are alone")


def test_where_nothing_can_be_run_names_decide_and_that_is_said(tmp_path: Path):
    named = add(graphs.wants_large_numbers(tmp_path / "named.onnx", "batch"))
    assert named.config.max_batch_size == 8
    assert "by the names of the dimensions only" in named.notes[0]
    assert "a single random item does not run" in named.notes[0]
    nameless = add(graphs.wants_large_numbers(tmp_path / "nameless.onnx", None))
    assert nameless.config.max_batch_size == 0
    assert "could not be checked" in nameless.notes[0]


def test_sizes_that_cannot_be_1_do_not_prevent_the_check(tmp_path: Path):
    added = add(graphs.pools_four(tmp_path / "m.onnx"))
    assert added.config.max_batch_size == 8
    assert added.notes == ()


def test_points_of_a_cloud_are_no_batch_and_do_not_prevent_one(tmp_path: Path):
    """N is the usual name of a batch, but here it is the number of points, behind a batch that is called B."""
    nodes = [helper.make_node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=0)]
    added = add(graphs.save(tmp_path / "m.onnx", nodes, {"x": ["B", "N", 3]}, {"y": ["B", 3]}))
    assert added.config.max_batch_size == 8


def test_dynamic_quantization_inside_of_a_function_is_found(tmp_path: Path):
    """As exporters write modules."""
    opset = [helper.make_opsetid("", 17)]
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["a"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["b"]),
    ]
    function = helper.make_function("local", "Layer", ["a"], ["b"], nodes, opset)
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Layer", ["x"], ["y"], domain="local")], "g", value[:1], value[1:])
    opsets = [*opset, helper.make_opsetid("local", 1)]
    onnx.save(helper.make_model(graph, functions=[function], ir_version=8, opset_imports=opsets), tmp_path / "m.onnx")
    added = add(tmp_path / "m.onnx")
    assert added.config.max_batch_size == 0
    assert "DynamicQuantizeLinear" in added.notes[0]
