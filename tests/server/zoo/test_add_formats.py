"""`add_model` and files of other frameworks: which backend they are for, and what is said where none runs them."""

from pathlib import Path

import pytest

import onnx_models
from tcli_server.backends.registry import installation, kind_of
from tcli_server.errors import InvalidArgumentError
from tcli_server.zoo import add_model


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.h5", b"\x89HDF\r\n\x1a\n", r"is a Keras or HDF5 file, .*model\.export"),
        ("m.keras", b"PK\x03\x04", r"is a Keras file, .*model\.export"),
        ("m.safetensors", b'\x10\0\0\0\0\0\0\0{"a":1}', "is a safetensors file, .*weights only"),
        ("m.safetensors", b'\x08\x07\0\0\0\0\0\0{"a":1}', "is a safetensors file, .*weights only"),
        ("m.gguf", b"GGUF\x03\0\0\0", "is a GGUF file"),
        ("m.joblib", b"\x80\x04\x95", "is a scikit-learn file, .*skl2onnx"),
        ("m.pkl", b"\x80\x02\x95", "is a pickle, .*skl2onnx"),
        ("graph.pb", b"\x0a\x30\x0a", "is a TensorFlow graph without its signature, .*SavedModel"),
        ("m.plan", b"ftrt\0\0", "for the backend 'tensorrt', which "),
        ("m.engine", b"anything", "for the backend 'tensorrt', which "),
        ("m.pth", b"\x80\x02\x8a\x0al", r"is a pickle, as torch\.save writes it.*torch\.export"),
        ("m.onnx", b"PK\x03\x04" + bytes(26) + b"m/data.pkl", "no file of PyTorch's, or a truncated one"),
        ("pytorch_model.bin", b"\x80\x02\x8a\x0al", "is a pickle, as torch.save writes it"),
        ("m.onnx", b"", "is an empty file, expected an ONNX model"),
        ("m.onnx", b"<!doctype html><title>Sign in</title>", "is an HTML page titled 'Sign in'"),
        ("m", b"what is this", "no ONNX file, or a truncated one"),
    ],
)
def test_what_no_backend_runs_is_called_what_it_is(tmp_path: Path, name: str, content: bytes, says: str):
    with pytest.raises(InvalidArgumentError, match=says):
        add_model(write(tmp_path / name, content), tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    ("name", "content", "backend"),
    [
        ("m.tflite", b"\x1c\0\0\0TFL3", "openvino"),
        ("m.bin", b"\x1c\0\0\0TFL3", "openvino"),
        ("m.xml", b'<?xml version="1.0"?><net version="11">', "openvino"),
        ("saved_model.pb", b"\x08\x01\x12", "tensorflow"),
    ],
)
def test_a_framework_that_is_missing_is_named_with_what_brings_it(
    tmp_path: Path, name: str, content: bytes, backend: str
):
    kind = kind_of(backend)
    assert kind is not None
    if not installation(kind):
        pytest.skip(f"{backend} is installed")
    with pytest.raises(InvalidArgumentError) as error:
        add_model(write(tmp_path / name, content), tmp_path / "repository")
    assert f"'{backend}', which is not installed: pip install \"tcli[{kind.extra}]\"" in str(error.value)
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        ("tensorflow", "the backend 'tensorflow' does not run .*: it runs folders with saved_model.pb or"),
        ("pytorch", r"the backend 'pytorch' does not run .*m\.onnx: it runs .*\.pt"),
        ("image", "the backend 'image' does not run .*: it runs models without a file"),
        ("tensorrt_llm", "there is no backend 'tensorrt_llm': expected one of "),
    ],
)
def test_a_backend_that_is_asked_for_and_does_not_run_it(tmp_path: Path, backend: str, says: str):
    with pytest.raises(InvalidArgumentError, match=says):
        add_model(write(tmp_path / "m.onnx", onnx_models.add_sub()), tmp_path / "repository", backend=backend)
