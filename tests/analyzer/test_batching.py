"""Models with a fixed batch of 1 become batchable where that is right, and only there."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, external_data_helper, helper

import fixed_batch_models as graphs
from tcli_analyzer.batching import NotBatchableError, make_batchable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "copy"
    path.mkdir()
    return path


def run(path: Path, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize(("build", "shape"), [(graphs.classifier, (2, 4, 4)), (graphs.transformer, (8, 4))])
def test_a_batch_gives_what_single_items_give(build, shape, tmp_path, folder):
    source = build(tmp_path / "model.onnx")
    before = source.read_bytes()
    result = make_batchable(source, folder, {"x": shape})
    x = np.random.default_rng(1).standard_normal((5, *shape)).astype(np.float32)
    singles = np.concatenate([run(source, x[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(run(result.path, x), singles, rtol=1e-4, atol=1e-5)
    assert result.check.sizes == (2, 3, 8)
    assert result.check.difference < 1e-4
    assert source.read_bytes() == before


def test_the_edits_name_what_was_changed(tmp_path, folder):
    result = make_batchable(graphs.classifier(tmp_path / "model.onnx"), folder, {"x": (2, 4, 4)})
    assert "x, y" in result.edits[0]
    assert any("flatten" in edit and "[1, 48] -> [-1, 48]" in edit for edit in result.edits)
    graph = onnx.load(result.path).graph
    assert not graph.value_info
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_variable_batch_dimension_needs_no_edit_but_is_checked(tmp_path, folder):
    result = make_batchable(graphs.classifier(tmp_path / "model.onnx", batch="N"), folder, {"x": (2, 4, 4)})
    assert result.edits == ()
    assert result.check.difference < 1e-4


def test_mixing_items_is_found_and_the_node_named(tmp_path, folder):
    with pytest.raises(NotBatchableError, match=r"'over_the_batch' \(ReduceMax\) does not keep the items apart"):
        make_batchable(graphs.mixes_items(tmp_path / "model.onnx"), folder, {"x": (4,)})


def test_a_node_that_fails_on_a_batch_is_named(tmp_path, folder):
    with pytest.raises(NotBatchableError, match=r"drop_batch.*Squeeze"):
        make_batchable(graphs.squeezes(tmp_path / "model.onnx"), folder, {"x": (4,)})


def test_answers_that_do_not_depend_on_the_input_prove_nothing(tmp_path, folder):
    with pytest.raises(NotBatchableError, match="answers to different random inputs are the same"):
        make_batchable(graphs.ignores_input(tmp_path / "model.onnx"), folder, {"x": (4,)})


def test_another_first_dimension_is_no_batch(tmp_path, folder):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    source = graphs.save(tmp_path / "model.onnx", nodes, [5, 4], [5, 4])
    with pytest.raises(NotBatchableError, match="first dimension of 'x' is 5"):
        make_batchable(source, folder, {"x": (4,)})


def test_external_weights_come_along(tmp_path, folder):
    source = graphs.classifier(tmp_path / "original" / "model.onnx")
    model = onnx.load(source)
    external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=100)
    onnx.save(model, source)
    result = make_batchable(source, folder, {"x": (2, 4, 4)})
    assert (folder / "weights.bin").is_file()
    assert run(result.path, np.ones((3, 2, 4, 4), np.float32)).shape == (3, 5, 1, 1)


def test_an_old_file_that_lists_its_weights_as_inputs(tmp_path, folder):
    source = graphs.classifier(tmp_path / "model.onnx")
    model = onnx.load(source)
    model.ir_version = 3
    model.opset_import[0].version = 7
    for tensor in model.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(info)
    onnx.save(model, source)
    result = make_batchable(source, folder, {"x": (2, 4, 4)})
    onnx.checker.check_model(onnx.load(result.path))


def test_not_an_onnx_file(tmp_path, folder):
    source = tmp_path / "model.onnx"
    source.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(NotBatchableError, match="cannot be read as ONNX"):
        make_batchable(source, folder, {"x": (4,)})


def test_integer_and_text_inputs_are_checked(tmp_path, folder):
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"], name="embed"),
            helper.make_node("ReduceMean", ["rows"], ["y"], axes=[1], keepdims=0),
            helper.make_node("Identity", ["words"], ["same_words"]),
        ],
        "test",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, [1, 6]),
            helper.make_tensor_value_info("words", TensorProto.STRING, [1, 2]),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3]),
            helper.make_tensor_value_info("same_words", TensorProto.STRING, [1, 2]),
        ],
        [graphs.weights("table", 2, 3)],
    )
    source = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), source)
    assert make_batchable(source, folder, {"ids": (6,), "words": (2,)}).edits
