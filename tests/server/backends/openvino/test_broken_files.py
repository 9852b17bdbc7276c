"""OpenVINO models as nobody meant them: what `tcli repo check`, and so loading, says."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tcli_server import Engine
from tcli_server.models.check import check_repository

pytest.importorskip("openvino")

import openvino as ov
import openvino.opset15 as ops

import onnx_models
from openvino_models import add_sub, named, parameter, product, save

BY_ONNX = 'backend: "openvino"\ndefault_model_filename: "model.onnx"\n'
BATCHED = "max_batch_size: 4"


def changed(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def link_to_a_device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda v: (v / "model.xml").write_bytes(b""), r"model\.xml is an empty file, expected an OpenVINO IR"),
    "no xml": (
        lambda v: (v / "model.xml").write_bytes(b"\0\1\2"),
        r"model\.xml is no XML \(.*\), expected an OpenVINO IR",
    ),
    "a page": (lambda v: (v / "model.xml").write_text("<html><title>Oh</title>"), r"is an HTML page titled 'Oh'"),
    "other xml": (lambda v: (v / "model.xml").write_text("<a/>"), r"is an XML text of another kind \(<a>\)"),
    "cut": (lambda v: cut(v / "model.xml"), r"model\.xml is refused by OpenVINO \d+\.\d+\S* \(\w"),
    "version": (
        lambda v: changed(v / "model.xml", 'version="11"', 'version="7"'),
        r"is an IR of version 7, expected an IR of version 10 or 11: export it again",
    ),
    "operator": (
        lambda v: changed(v / "model.xml", 'type="MatMul"', 'type="Mine"'),
        r"\(Opset opset1 doesn't contain the operation with type: Mine\)",
    ),
    "no bin": (
        lambda v: (v / "model.bin").unlink(),
        r"model\.bin is missing, expected the 512 bytes of weights of model\.xml: copy it from where",
    ),
    "short bin": (
        lambda v: cut(v / "model.bin"),
        r"model\.bin is too short \(100 bytes\), truncated or of another model, expected the 512 bytes",
    ),
    "pointer": (
        lambda v: (v / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\nsize 512\n"),
        r"model\.bin is a Git LFS pointer for a file of 512 bytes, not the file itself",
    ),
    "a device": (lambda v: link_to_a_device(v / "model.bin"), r"model\.bin is no regular file"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_with_an_ir_is_said(tmp_path: Path, name: str):
    spoil, message = SPOILT[name]
    folder = save(product(), tmp_path, "m")
    assert check_repository(tmp_path) == []
    spoil(folder / "1")
    (problem,) = check_repository(tmp_path)
    assert re.search(message, f"{problem.file} is {problem.found}, expected {problem.expected}: {problem.fix}")
    assert "src/" not in str(problem)


def test_a_fifo_in_the_place_of_the_weights_is_not_waited_for(tmp_path: Path):
    folder = save(product(), tmp_path, "m")
    (folder / "1" / "model.bin").unlink()
    os.mkfifo(folder / "1" / "model.bin")
    (problem,) = check_repository(tmp_path)
    assert problem.found.startswith("no regular file")


def test_a_model_without_weights_needs_no_bin_file(tmp_path: Path):
    folder = save(add_sub(), tmp_path, "m")
    (folder / "1" / "model.bin").unlink()
    assert check_repository(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.onnx", b"\x08\x07junk", "no ONNX file, or a truncated one"),
        ("model.tflite", b"junk", "something else"),
        ("model.tflite", b"\0\0\0\0TFL3" + b"x" * 99, "corrupted or malformed"),
        ("model.pb", b"junk", "none that the backend 'openvino' reads"),
    ],
)
def test_files_of_other_kinds(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / name).write_bytes(content)
    (tmp_path / "m" / "config.pbtxt").write_text(f'backend: "openvino"\ndefault_model_filename: "{name}"\n')
    (problem,) = check_repository(tmp_path)
    assert message in problem.found


def test_weights_outside_of_the_folder_are_not_read(tmp_path: Path):
    import onnx

    model = onnx.load_from_string(onnx_models.constant(np.ones(1000, np.float32)))
    held = model.graph.initializer[0]
    held.ClearField("raw_data")
    held.data_location = onnx.TensorProto.EXTERNAL
    held.external_data.add(key="location", value="../../../secret")
    (tmp_path / "secret").write_bytes(b"\0" * 4000)
    (tmp_path / "models" / "m" / "1").mkdir(parents=True)
    (tmp_path / "models" / "m" / "1" / "model.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "models" / "m" / "config.pbtxt").write_text(BY_ONNX)
    (problem,) = check_repository(tmp_path / "models")
    assert "outside of its folder" in problem.found


def test_a_memory_that_all_clients_would_share_is_refused(tmp_path: Path):
    x = parameter("X", shape=(1, 4))
    held = ops.read_value(ops.constant(np.zeros((1, 4), np.float32)), "v", ov.Type.f32, ov.PartialShape([1, 4]))
    total = ops.add(x, held)
    model = ov.Model([ops.result(named(total, "Y"))], [ops.assign(total, "v")], [x], "counter")
    save(model, tmp_path, "m")
    (problem,) = check_repository(tmp_path)
    assert "a memory of its own" in problem.found


def test_what_the_configuration_says_must_be_in_the_model(tmp_path: Path):
    config = """
    max_batch_size: 4
    input { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] }
    input { name: "INPUT2" data_type: TYPE_FP32 dims: [ 16 ] }
    output { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 16 ] }
    """
    save(add_sub(), tmp_path, "m", config)
    fields = {problem.field for problem in check_repository(tmp_path)}
    assert {"input[1].name", "output[0].data_type"} <= fields


def mixed_batch() -> ov.Model:
    x = parameter("X", shape=(1, 4))
    return ov.Model([named(ops.softmax(x, 0), "Y")], [x], "mixed")


def fixed_reshape() -> ov.Model:
    x = parameter("X", shape=(1, 2, 2))
    return ov.Model([named(ops.reshape(x, ops.constant(np.array([1, -1])), False), "Y")], [x], "fixed")


def two_items() -> ov.Model:
    x = parameter("X", shape=(2, 4))
    return ov.Model([named(ops.relu(x), "Y")], [x], "two")


@pytest.mark.parametrize("model", [mixed_batch, fixed_reshape, two_items])
def test_a_batch_is_not_made_of_what_would_answer_wrong(tmp_path: Path, model: Callable[[], ov.Model]):
    save(model(), tmp_path, "m", BATCHED)
    (problem,) = check_repository(tmp_path)
    assert (problem.field, "cannot batch" in problem.found or "does not support" in problem.found) == (
        "max_batch_size",
        True,
    )


@pytest.mark.parametrize(("layout", "size"), [("NC", 4), ("?C", 0), (None, 0)])
def test_a_layout_says_that_a_fixed_dimension_is_the_batch(tmp_path: Path, layout: str | None, size: int):
    model = product((1, 16))
    if layout:
        for port in (model.inputs[0], model.outputs[0]):
            port.get_node().layout = ov.Layout(layout)
    save(model, tmp_path, "m", "instance_group { count: 2 }")
    with Engine(tmp_path) as engine:
        assert engine.model_config("m").max_batch_size == size
