"""Model files that no backend runs, and what to do about each."""

_ARCHIVE = ("an archive", "unpack it, and add what is in it")
_BY_CONTENT = (
    (0, b"\x89HDF\r\n", "a Keras or HDF5 file", "load it in Keras and save a SavedModel with model.export(FOLDER)"),
    (0, b"GGUF", "a GGUF file", "export the model that it was made from to ONNX"),
    (0, b"\x1f\x8b", *_ARCHIVE),
    (0, b"BZh", *_ARCHIVE),
    (0, b"\xfd7zXZ\0", *_ARCHIVE),
    (0, b"(\xb5/\xfd", *_ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", *_ARCHIVE),
    (8, b'{"', "a safetensors file", "it holds weights only: load them in their framework and export to ONNX"),
)
"""(place, bytes there, what it is, what to do)"""

_KERAS = ("a Keras file", "load it in Keras and save a SavedModel with model.export(FOLDER)")
_BY_ENDING = {
    ".zip": _ARCHIVE,
    ".tar": _ARCHIVE,
    ".keras": _KERAS,
    ".h5": _KERAS,
    ".mlmodel": ("a Core ML file", "add the ONNX file that it was made from"),
    ".joblib": ("a scikit-learn file", "convert it with skl2onnx"),
    ".pkl": ("a pickle", "load it where it was made and export the model to ONNX, with skl2onnx or torch.onnx.export"),
}
_BY_DOUBTFUL_ENDING = {
    ".pb": (
        "a TensorFlow graph without its signature",
        "save a SavedModel folder and add that, or convert it: python -m tf2onnx.convert --graphdef FILE --output model.onnx",
    ),
}
"""Endings that other models have, too."""


def other_format(head: bytes, ending: str, certain: bool = True) -> tuple[str, str] | None:
    """What a model file is that no backend runs, and what to do; None for what may be one that a backend runs.

    Args:
        head: how it begins.
        certain: leave out what its content should rather tell.
    """
    for place, content, name, fix in _BY_CONTENT:
        if head[place:].startswith(content):
            return name, fix
    return (_BY_ENDING if certain else _BY_DOUBTFUL_ENDING).get(ending.lower())
