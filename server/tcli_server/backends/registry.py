"""Which backends there are: found by the name in a configuration, imported when first needed."""

from functools import cache
from pathlib import Path

from tcli_server.backends import Backend, BackendKind
from tcli_server.backends.onnxruntime.kind import ONNXRUNTIME
from tcli_server.backends.python.kind import PYTHON
from tcli_server.errors import InvalidArgumentError

KINDS = (
    BackendKind("tensorrt", "tensorrt_plan", "model.plan"),
    ONNXRUNTIME,
    BackendKind("openvino", "", "model.xml"),
    BackendKind("pytorch", "pytorch_libtorch", "model.pt"),
    PYTHON,
)
"""Every backend that Triton tells by a platform or a file name, in its order: the first that fits decides."""

AVAILABLE = (ONNXRUNTIME, PYTHON)
"""Those that this server has."""


def backend(name: str, runtime: str = "", directory: str = "") -> Backend:
    """The backend of that name: one that this server has, or else a folder of that name that has a `model.py`.

    Args:
        runtime: `model.py` to prefer the folder.
        directory: where such folders are; empty for none.

    Raises:
        InvalidArgumentError: there is none.
    """
    is_built_in = name in {kind.name for kind in AVAILABLE}
    if directory and name != PYTHON.name and (runtime == PYTHON.model_file or not is_built_in):
        code = _code(name, directory)
        if code is not None:
            return _shared(name, code)
    if is_built_in:
        return _built_in(name)
    raise InvalidArgumentError(f"unable to find backend '{name}': this server has {' and '.join(names(directory))}")


def names(directory: str = "") -> list[str]:
    """Those that `backend` finds."""
    try:
        found = (
            sorted(entry.name for entry in Path(directory).iterdir() if _code(entry.name, directory))
            if directory
            else []
        )
    except OSError:
        found = []
    built_in = [kind.name for kind in AVAILABLE]
    return [*built_in, *(name for name in found if name not in built_in)]


def settings_of(name: str) -> tuple[str, ...]:
    """What `--backend-config` can tell the backend of that name; one that is a folder has the settings of what runs it."""
    return next((kind.settings for kind in AVAILABLE if kind.name == name), PYTHON.settings if name else ())


def _code(name: str, directory: str) -> Path | None:
    """The code of a backend that is a folder; a name that is a path names none."""
    if not name or name.startswith(".") or any(character in name for character in "/\\\0"):
        return None
    code = Path(directory).absolute() / name / PYTHON.model_file
    try:
        return code if code.is_file() else None
    except OSError:
        return None


def _shared(name: str, code: Path) -> Backend:
    from tcli_server.backends.python.backend import PythonBackend

    platform = next((kind.platform for kind in KINDS if kind.name == name), "")
    return PythonBackend(BackendKind(name, platform, PYTHON.model_file, PYTHON.settings, PYTHON.model_file), code)


@cache
def _built_in(name: str) -> Backend:
    if name == ONNXRUNTIME.name:
        from tcli_server.backends.onnxruntime.backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend()
    from tcli_server.backends.python.backend import PythonBackend

    return PythonBackend()
