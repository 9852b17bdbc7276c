"""Model files of other frameworks, and how they become ONNX."""

from pathlib import Path

_HEAD_BYTES = 64

_BY_CONTENT = (
    (
        0,
        b"\x89HDF\r\n",
        "a Keras or HDF5 file",
        "convert it: python -m tf2onnx.convert --keras FILE --output model.onnx",
    ),
    (4, b"TFL3", "a TensorFlow Lite file", "convert it: python -m tf2onnx.convert --tflite FILE --output model.onnx"),
    (0, b"ftrt", "a TensorRT plan", "add the ONNX file that it was built from"),
    (0, b"GGUF", "a GGUF file", "export the model that it was made from to ONNX"),
    (8, b'{"', "a safetensors file", "it holds weights only: load them in their framework and export to ONNX"),
)
"""(place, bytes there, what it is, what to do)"""

_TORCH = ("a PyTorch file", "load it in PyTorch and export it with torch.onnx.export")
_BY_SUFFIX = {
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".ckpt": _TORCH,
    ".torchscript": _TORCH,
    ".pb": ("a TensorFlow file", "convert its folder: python -m tf2onnx.convert --saved-model DIR --output model.onnx"),
    ".xml": ("an OpenVINO file", "add the ONNX file that it was made from"),
    ".mlmodel": ("a Core ML file", "add the ONNX file that it was made from"),
    ".joblib": ("a scikit-learn file", "convert it with skl2onnx"),
    ".pkl": ("a pickle", "load it where it was made and export the model to ONNX, with skl2onnx or torch.onnx.export"),
}


def other_format(file: Path) -> tuple[str, str] | None:
    """What a model file is that is of another framework, and what to do; None for what may be ONNX."""
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError:
        return None
    for place, content, name, fix in _BY_CONTENT:
        if head[place:].startswith(content):
            return name, fix
    if head.startswith((b"PK\x03\x04", b"\x80")) and file.suffix.lower() not in _BY_SUFFIX:
        return _TORCH if b"data.pkl" in head or head.startswith(b"\x80") else None
    return _BY_SUFFIX.get(file.suffix.lower())
