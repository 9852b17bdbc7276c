"""From a model's file to OpenVINO's graph, and what is wrong with files that are none."""

import re
from pathlib import Path
from xml.etree import ElementTree

import openvino as ov

from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.onnxruntime.graph import check_external_files, load_outline
from tcli_server.file_kind import HEAD_BYTES, mistaken_content

_IR_VERSIONS = ("10", "11")
_TFLITE_MARK = slice(4, 8), b"TFL3"
_WEIGHTS = re.compile(rb'\boffset="(\d{1,19})"\s+size="(\d{1,19})"')


def read_graph(core: ov.Core, path: Path, mapped: bool = False) -> ov.Model:
    """The graph of a model file, by the ending of its name; with an IR file goes the `.bin` file of the same name.

    Args:
        mapped: leave weights in the file until they are needed. Whoever then changes the file changes the model, and whoever
            cuts it ends the server.

    Raises:
        ModelFileError: a file is missing, broken, or not what its name says.
    """
    expected = _EXPECTED.get(path.suffix.lower())
    if expected is None:
        raise ModelFileError(
            path,
            "a file that ends in .xml, .onnx or .tflite",
            "none that the backend 'openvino' reads",
            "rename it to what it is, or convert it: python -m openvino.tools.ovc FILE",
        )
    weights = _CHECKS[path.suffix.lower()](path)
    try:
        return core.read_model(str(path), str(weights) if weights else "", config={"ENABLE_MMAP": mapped})
    except Exception as error:  # OpenVINO raises RuntimeErrors that differ in their texts only
        if path.suffix.lower() == ".xml":
            _check_weights(path)
        found = f"refused by OpenVINO {version()} ({plain(error)})"
        raise ModelFileError(path, expected, found, "export it again") from error


def version() -> str:
    """OpenVINO's, without the build."""
    return str(ov.get_version()).split("-")[0]


def plain(error: Exception) -> str:
    """OpenVINO's message without the places in its source code."""
    whole = " ".join(str(error).split())
    text = re.sub(r"(Exception from|Check '.*?' failed at) \S+?:\d+:? ?", "", whole)
    return text.strip() or whole or type(error).__name__


def _head(path: Path, expected: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise ModelFileError(
            path, expected, f"unreadable ({error.strerror})", "put a file there that can be read"
        ) from None


def _check_ir(path: Path) -> Path | None:
    """Judge the beginning; OpenVINO would try a text that is no IR as something else."""
    expected = _EXPECTED[".xml"]
    mistaken = mistaken_content(_head(path, expected))
    if mistaken is not None and mistaken != "a JSON or XML text":
        raise ModelFileError(path, expected, mistaken, "fetch the file again")
    try:
        with path.open("rb") as file:
            _, root = next(ElementTree.iterparse(file, ["start"]))
    except (ElementTree.ParseError, StopIteration, ValueError, LookupError) as error:
        raise ModelFileError(path, expected, f"no XML ({error})", "export it again") from None
    if root.tag != "net":
        raise ModelFileError(path, expected, f"an XML text of another kind (<{root.tag[:64]}>)", "export it again")
    if root.get("version") not in _IR_VERSIONS:
        found = f"an IR of version {root.get('version', '')[:16] or 'unknown'}"
        raise ModelFileError(path, f"an IR of version {' or '.join(_IR_VERSIONS)}", found, "export it again")
    weights = path.with_suffix(".bin")
    if weights.is_file():
        return weights
    if weights.exists() or weights.is_symlink():  # OpenVINO would open it, and may never come back
        found = "no regular file, or a link to none"
        raise ModelFileError(weights, f"the weights of {path.name}", found, "put the file there")
    return None


def _check_weights(path: Path) -> None:
    """Whether the weights are as long as the IR says: OpenVINO only says that they are wrong."""
    needed = max((int(start) + int(size) for start, size in _WEIGHTS.findall(path.read_bytes())), default=0)
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        if needed:
            raise ModelFileError(
                weights,
                f"the {needed:,} bytes of weights of {path.name}",
                "missing",
                "copy it from where the model was exported",
            )
        return
    has = weights.stat().st_size
    if has < needed:
        mistaken = mistaken_content(_head(weights, "weights"))
        found = mistaken or f"too short ({has:,} bytes), truncated or of another model"
        raise ModelFileError(weights, f"the {needed:,} bytes of weights of {path.name}", found, "copy both files again")


def _check_onnx(path: Path) -> None:
    check_external_files(load_outline(path), path)


def _check_tflite(path: Path) -> None:
    head = _head(path, _EXPECTED[".tflite"])
    place, mark = _TFLITE_MARK
    if head[place] != mark:
        found = mistaken_content(head) or "something else"
        raise ModelFileError(path, _EXPECTED[".tflite"], found, "fetch or convert it again")


_EXPECTED = {".xml": "an OpenVINO IR file", ".onnx": "an ONNX model", ".tflite": "a TensorFlow Lite model"}
_CHECKS = {".xml": _check_ir, ".onnx": _check_onnx, ".tflite": _check_tflite}
