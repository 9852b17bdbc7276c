"""`add_model`: model folders from ONNX files."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import batching_models
import onnx_models
from tcli_server import Engine
from tcli_server.errors import AlreadyExistsError, InvalidArgumentError
from tcli_server.models.check import check_repository
from tcli_server.repository import read_config
from tcli_server.zoo import add_model


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def graph(inputs: dict[str, list], output: list, path: Path, kind: int = TensorProto.FLOAT) -> Path:
    """A graph that gives its first input's sum in some declared shape; only its signature matters."""
    node = helper.make_node("Identity", [next(iter(inputs))], ["out"])
    infos = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    outputs = [helper.make_tensor_value_info("out", kind, output)]
    made = helper.make_model(
        helper.make_graph([node], "g", infos, outputs), ir_version=8, opset_imports=onnx_models.OPSET
    )
    return write(path, made.SerializeToString())


def test_a_batching_model_is_added_and_served(tmp_path: Path):
    file = write(tmp_path / "my model (v2).onnx", onnx_models.add_sub())
    added = add_model(file, tmp_path / "models")
    assert added.path.name == "my_model_v2"
    config = read_config(added.path / "config.pbtxt")
    assert config == added.config
    assert config.max_batch_size == 8
    assert config.HasField("dynamic_batching")
    assert [list(tensor.dims) for tensor in config.input] == [[16], [16]]
    assert check_repository(tmp_path / "models") == []
    with Engine(tmp_path / "models") as engine:
        assert engine.model_ready("my_model_v2")


def test_the_configuration_explains_itself(tmp_path: Path):
    added = add_model(write(tmp_path / "net.onnx", onnx_models.add_sub()), tmp_path / "models")
    text = (added.path / "config.pbtxt").read_text()
    assert text.startswith("# Written by 'tcli repo add' from net.onnx.")
    assert text.count("\n# ") >= 4


def test_a_model_that_cannot_batch(tmp_path: Path):
    file = write(tmp_path / "net.onnx", onnx_models.identity(shape=(1, 4)))
    added = add_model(file, tmp_path / "models")
    assert added.config.max_batch_size == 0
    assert list(added.config.input[0].dims) == [1, 4]
    assert "its first dimension does not vary" in added.notes[0]
    with pytest.raises(InvalidArgumentError, match=r"cannot batch.*'INPUT0' has shape \[1, 4\]"):
        add_model(file, tmp_path / "models", name="other", max_batch_size=4)


@pytest.mark.parametrize(("wanted", "size", "dims"), [(0, 0, [-1, 16]), (1, 1, [16]), (32, 32, [16])])
def test_the_batch_size_can_be_chosen(tmp_path: Path, wanted: int, size: int, dims: list[int]):
    added = add_model(write(tmp_path / "n.onnx", onnx_models.add_sub()), tmp_path / "m", max_batch_size=wanted)
    assert added.config.max_batch_size == size
    assert list(added.config.input[0].dims) == dims
    assert added.config.HasField("dynamic_batching") == (size > 1)
    assert check_repository(tmp_path / "m") == []


def test_first_dimensions_with_different_names_are_no_batch(tmp_path: Path):
    file = graph({"a": ["rows", 4], "b": ["columns", 4]}, ["rows", 4], tmp_path / "n.onnx")
    added = add_model(file, tmp_path / "m")
    assert added.config.max_batch_size == 0
    assert "columns, rows" in added.notes[0]
    assert add_model(file, tmp_path / "m", max_batch_size=2, force=True).config.max_batch_size == 2


@pytest.mark.parametrize(
    ("shape", "form"),
    [
        (["N", 3, 224, 224], "FORMAT_NCHW"),
        (["N", 1, 28, 28], "FORMAT_NCHW"),
        (["N", 224, 224, 3], "FORMAT_NHWC"),
        (["N", "H", "W", 3], "FORMAT_NHWC"),
        (["N", 3, "H", "W"], "FORMAT_NCHW"),
        (["N", 3, 48, "W"], "FORMAT_NCHW"),
        (["N", 3, 32, 256], "FORMAT_NCHW"),
        ([3, 224, 224], "FORMAT_NCHW"),
        (["N", 10, 20, 30], "FORMAT_NONE"),
        ([1, 16, 96], "FORMAT_NONE"),
        ([1, 28, 28], "FORMAT_NONE"),
        (["N", 1, 16, 96], "FORMAT_NONE"),
        (["N", 1, 80, "T"], "FORMAT_NONE"),
        (["N", 16, 96, 1], "FORMAT_NONE"),
        (["N", 1, "H", "W"], "FORMAT_NONE"),
        (["N", 1, 8, 8], "FORMAT_NONE"),
        (["N", 3, 4, 4], "FORMAT_NONE"),
        (["N", 3, 16, 4000], "FORMAT_NONE"),
        (["N", 3, 16, 160], "FORMAT_NONE"),
        (["N", 3, 16, 128], "FORMAT_NCHW"),
        (["N", 3, 100_000, "W"], "FORMAT_NONE"),
        (["N", 4000, 16, 4], "FORMAT_NONE"),
        (["N", 3, 9, 3], "FORMAT_NONE"),
        (["N", "T", 33, 3], "FORMAT_NONE"),
        (["T", "N", 3], "FORMAT_NONE"),
        ([3, "H", "W"], "FORMAT_NONE"),
        (["N", 3], "FORMAT_NONE"),
        ([1, 3, 224, 224], "FORMAT_NONE"),
    ],
)
def test_pictures_are_recognised(tmp_path: Path, shape: list, form: str):
    added = add_model(graph({"a": shape}, shape, tmp_path / "n.onnx"), tmp_path / "m")
    tensor = added.config.input[0]
    assert tensor.Format.Name(tensor.format) == form
    assert check_repository(tmp_path / "m") == []


@pytest.mark.parametrize(
    ("kind", "form"),
    [(TensorProto.UINT8, "FORMAT_NCHW"), (TensorProto.FLOAT16, "FORMAT_NCHW"), (TensorProto.INT64, "FORMAT_NONE")],
)
def test_only_pixel_types_make_pictures(tmp_path: Path, kind: int, form: str):
    added = add_model(graph({"a": ["N", 3, 32, 32]}, ["N", 3, 32, 32], tmp_path / "n.onnx", kind), tmp_path / "m")
    tensor = added.config.input[0]
    assert tensor.Format.Name(tensor.format) == form


def test_output_sizes_are_those_that_onnx_runtime_infers(tmp_path: Path):
    """PyTorch's exports name every dimension of an output that it does not work out."""
    node = helper.make_node("Relu", ["x"], ["y"])
    file = batching_models.save(tmp_path / "n.onnx", [node], {"x": ["batch", 4]}, {"y": ["batch", "Relu_y_dim_1"]})
    assert list(add_model(file, tmp_path / "m").config.output[0].dims) == [4]


def test_a_scalar_input_is_one_element_for_clients(tmp_path: Path):
    """Triton refuses an empty `reshape` without batching: there the server makes the scalar."""
    node = helper.make_node("Add", ["x", "offset"], ["y"])
    file = batching_models.save(tmp_path / "n.onnx", [node], {"x": ["N", 4], "offset": []}, {"y": ["N", 4]})
    added = add_model(file, tmp_path / "m")
    assert added.config.max_batch_size == 0
    assert list(added.config.input[1].dims) == [1]
    assert not added.config.input[1].HasField("reshape")
    assert "'offset' has shape []" in added.notes[0]


def test_one_number_an_item_is_reshaped_to_nothing_behind_the_batch(tmp_path: Path):
    node = helper.make_node("Neg", ["x"], ["y"])
    added = add_model(batching_models.save(tmp_path / "n.onnx", [node], {"x": ["N"]}, {"y": ["N"]}), tmp_path / "m")
    assert added.config.max_batch_size == 8
    for tensor in (added.config.input[0], added.config.output[0]):
        assert list(tensor.dims) == [1]
        assert tensor.HasField("reshape")
        assert not tensor.reshape.shape
    assert read_config(added.path / "config.pbtxt") == added.config
    assert check_repository(tmp_path / "m") == []
    with Engine(tmp_path / "m") as engine:
        assert engine.infer("n", {"x": np.ones((2, 1), np.float32)}).outputs["y"].tolist() == [[-1], [-1]]


def sequence_output(kind: onnx.TypeProto, path: Path) -> Path:
    node = helper.make_node("SequenceConstruct", ["x", "x"], ["y"])
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    made = helper.make_graph([node], "g", [value], [helper.make_value_info("y", kind)])
    return write(path, helper.make_model(made, ir_version=8, opset_imports=onnx_models.OPSET).SerializeToString())


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (
            helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 4])),
            r"'y' is a sequence, Triton's protocol has tensors only: .*options=\{'zipmap': False\}",
        ),
        (
            helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])),
            r"'y' is a map, Triton's protocol has tensors only: .*options=\{'zipmap': False\}",
        ),
        (
            helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 4])),
            "'y' is an optional, Triton's protocol has tensors only: .*OptionalGetElement",
        ),
        (
            helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, ["N", 4]),
            "'y' is a sparse tensor, Triton's protocol has tensors only: .*dense",
        ),
    ],
)
def test_what_is_no_tensor_is_called_by_its_name_with_a_way_out(tmp_path: Path, kind: onnx.TypeProto, says: str):
    with pytest.raises(InvalidArgumentError, match=says):
        add_model(sequence_output(kind, tmp_path / "n.onnx"), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_classifier_of_scikit_learn(tmp_path: Path):
    """The one that ONNX Runtime brings along: its probabilities are a sequence of maps."""
    file = Path(onnxruntime.__file__).parent / "datasets" / "logreg_iris.onnx"
    with pytest.raises(InvalidArgumentError, match=r"'probabilities' is a sequence.*zipmap"):
        add_model(file, tmp_path / "m")


def test_a_file_that_onnx_runtime_cannot_load_is_refused_with_its_reason(tmp_path: Path):
    nodes = [helper.make_node("NoSuchOperator", ["x"], ["y"], domain="ai.onnx.ml")]
    file = batching_models.save(tmp_path / "n.onnx", nodes, {"x": ["N", 4]}, {"y": ["N", 4]})
    with pytest.raises(InvalidArgumentError, match=r"ONNX Runtime cannot load .*n\.onnx: .*NoSuchOperator"):
        add_model(file, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_labels_go_to_the_output_with_as_many_classes(tmp_path: Path):
    file = write(tmp_path / "n.onnx", onnx_models.identity(shape=("N", 4)))
    labels = tmp_path / "names.txt"
    labels.write_text("a\nb\nc\nd\n")
    added = add_model(file, tmp_path / "m", labels=labels)
    assert added.config.output[0].label_filename == "labels.txt"
    assert (added.path / "labels.txt").read_text() == "a\nb\nc\nd\n"
    labels.write_text("a\n")
    with pytest.raises(InvalidArgumentError, match=r"has 1 labels.*'OUTPUT0' has 4"):
        add_model(file, tmp_path / "m", name="other", labels=labels)
    assert not (tmp_path / "m" / "other").exists()


def test_weights_in_other_files_are_copied_along(tmp_path: Path):
    onnx_models.save_with_external_weights(tmp_path / "n.onnx", "n.weights")
    added = add_model(tmp_path / "n.onnx", tmp_path / "m")
    assert sorted(file.name for file in (added.path / "1").iterdir()) == ["model.onnx", "n.weights"]
    with Engine(tmp_path / "m") as engine:
        assert engine.model_ready("n")
    (tmp_path / "n.weights").unlink()
    with pytest.raises(InvalidArgumentError, match=r"n\.weights.*not beside it"):
        add_model(tmp_path / "n.onnx", tmp_path / "m", name="other")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "-x"])
def test_a_name_that_no_folder_should_have_is_refused(tmp_path: Path, name: str):
    file = write(tmp_path / "n.onnx", onnx_models.add_sub())
    with pytest.raises(InvalidArgumentError, match="cannot name a model"):
        add_model(file, tmp_path / "m", name=name)


def test_nothing_is_overwritten_without_force(tmp_path: Path):
    file = write(tmp_path / "n.onnx", onnx_models.add_sub())
    added = add_model(file, tmp_path / "m")
    (added.path / "config.pbtxt").write_text("# mine")
    with pytest.raises(AlreadyExistsError):
        add_model(file, tmp_path / "m")
    assert (added.path / "config.pbtxt").read_text() == "# mine"
    add_model(file, tmp_path / "m", force=True)
    assert (added.path / "config.pbtxt").read_text() != "# mine"


def test_types_that_the_protocol_does_not_know_are_refused(tmp_path: Path):
    file = graph({"a": ["N", 2]}, ["N", 2], tmp_path / "n.onnx", TensorProto.COMPLEX64)
    with pytest.raises(InvalidArgumentError, match="'a' of the model file has type COMPLEX64"):
        add_model(file, tmp_path / "m")


def test_inputs_with_a_default_are_left_out(tmp_path: Path):
    model = onnx.load_from_string(onnx_models.identity())
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))
    model.graph.initializer.append(helper.make_tensor("scale", TensorProto.FLOAT, [1], [2.0]))
    added = add_model(write(tmp_path / "n.onnx", model.SerializeToString()), tmp_path / "m")
    assert [tensor.name for tensor in added.config.input] == ["INPUT0"]
    assert "scale" in added.notes[0]
    assert check_repository(tmp_path / "m") == []


@pytest.mark.parametrize("name", ["model.bin", "model.pb", "model.pt", "model"])
def test_an_onnx_model_of_any_name_is_added(tmp_path: Path, name: str):
    assert add_model(write(tmp_path / name, onnx_models.add_sub()), tmp_path / "m").config.name == "model"
