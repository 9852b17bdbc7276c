"""An ONNX model without the values of its weights: the same otherwise, whatever the file has, and never all of it in memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_models
from tcli_server.backends.onnxruntime.graph import load_graph, load_outline
from tcli_server.backends.onnxruntime.outline import NoOutlineError, read_outline
from tcli_server.errors import ServerError

VALUES = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


def weighted(*weights: TensorProto) -> onnx.ModelProto:
    """A model with weights, of which nothing is known but that they are there."""
    model = onnx.ModelProto.FromString(onnx_models.add_sub())
    model.graph.initializer.extend(weights)
    return model


def written(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_all_but_the_values_is_there(tmp_path: Path):
    model = weighted(
        numpy_helper.from_array(np.arange(300, dtype=np.float32).reshape(3, 100), "raw"),
        helper.make_tensor("floats", TensorProto.FLOAT, [2], [1.5, 2.5]),
        helper.make_tensor("longs", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("doubles", TensorProto.DOUBLE, [1], [0.5]),
        helper.make_tensor("words", TensorProto.STRING, [1], [b"word"]),
        helper.make_tensor("small", TensorProto.UINT8, [1], [7]),
        helper.make_tensor("unsigned", TensorProto.UINT64, [1], [1 << 63]),
        TensorProto(
            name="beside",
            data_location=TensorProto.EXTERNAL,
            external_data=[onnx.StringStringEntryProto(key="location", value="weights.bin")],
        ),
    )
    model.graph.node[0].attribute.append(helper.make_attribute("constant", model.graph.initializer[0]))
    path = written(tmp_path, model)
    for tensor in model.graph.initializer:
        for field in VALUES:
            tensor.ClearField(field)
    assert load_outline(path) == model


def test_large_weights_are_not_read(tmp_path: Path):
    path = written(tmp_path, weighted(TensorProto(name="large", raw_data=bytes(64 << 20))))
    tracemalloc.start()
    try:
        assert [tensor.name for tensor in load_outline(path).graph.initializer] == ["large"]
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-3],
        lambda whole: whole + b"\x0b",  # a group, which nothing has that is made today
        lambda whole: whole + b"\x3a\xff\xff\xff\xff\x0f",  # a graph that is longer than the file
        lambda whole: whole + b"\x80" * 11,
        lambda whole: whole + b"\x3a\x05\x2a\x05\x08",  # a weight that is longer than its graph
    ],
)
def test_a_damaged_file_is_judged_as_a_whole(tmp_path: Path, damage):
    path = tmp_path / "model.onnx"
    path.write_bytes(damage(onnx_models.add_sub()))
    with pytest.raises(NoOutlineError):
        read_outline(path)
    with pytest.raises(ServerError) as whole:
        load_graph(path)
    with pytest.raises(ServerError) as outline:
        load_outline(path)
    assert str(outline.value) == str(whole.value)
