"""Which backends there are: found by the name in a configuration, imported when first needed."""

import contextlib
import importlib
import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path

from tcli_server.backends import Backend, BackendKind
from tcli_server.backends.handling import GuardedHandling, Handling
from tcli_server.backends.image.kind import IMAGE
from tcli_server.backends.onnxruntime.kind import ONNXRUNTIME
from tcli_server.backends.openvino.kind import OPENVINO
from tcli_server.backends.python.kind import PYTHON
from tcli_server.backends.pytorch.kind import PYTORCH
from tcli_server.backends.tensorflow.kind import TENSORFLOW
from tcli_server.backends.tensorrt.kind import TENSORRT
from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.log import LOG


class BrokenBackendError(InvalidArgumentError):
    """What a backend needs is installed, but does not load.

    Attributes:
        reason: what was raised, in one line.
        fix: what to do.
    """

    def __init__(self, name: str, reason: str, fix: str) -> None:
        super().__init__(f"backend '{name}' does not load: {reason}; fix: {fix}")
        self.reason = reason
        self.fix = fix


GROUP = "tcli.backends"
"""The group of entry points by which packages add backends; each is a `BackendKind`."""

_LONGEST_REASON = 400

_BUILT_IN = (
    TENSORFLOW,
    TENSORRT,
    ONNXRUNTIME,
    OPENVINO,
    PYTORCH,
    PYTHON,
    IMAGE,
)
"""Those that Triton tells by a platform or a file name, in its order: the first that fits decides."""


@cache
def kinds() -> tuple[BackendKind, ...]:
    """Every backend that is known, whether this server has it or not; the first one that fits a model decides.

    One of a package never takes the name, the platform or the file names of one that is built in.
    """
    known = list(_BUILT_IN)
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            kind = entry.load()
            if not isinstance(kind, BackendKind):
                raise TypeError(f"expected a BackendKind, found {type(kind).__name__}")
        except Exception as error:  # a package that is broken harms no other
            LOG.error(
                "the backend '%s' of %s is left out: %s: %s", entry.name, entry.value, type(error).__name__, error
            )
            continue
        if kind.name in {other.name for other in known if other.implementation}:
            LOG.error("the backend '%s' of %s is left out: there is one of that name", kind.name, entry.value)
            continue
        known = [kind if other.name == kind.name else other for other in known]
        known += [kind] if kind not in known else []
    return tuple(known)


@cache
def is_installed(kind: BackendKind) -> bool:
    """Whether what a backend of this server needs is there. Looks for the module, and imports nothing of it."""
    if not kind.implementation:
        return False
    with contextlib.suppress(ImportError, ValueError):
        return not kind.needs or importlib.util.find_spec(kind.needs) is not None
    return False


def available() -> tuple[BackendKind, ...]:
    """Those that this server has, and can run models by."""
    return tuple(kind for kind in kinds() if is_installed(kind))


def usual() -> BackendKind:
    """The backend that every server has, which advice is about where nothing says which one is meant."""
    return next(kind for kind in available() if not kind.extra)


def installation(kind: BackendKind) -> str:
    """What brings what a backend of this server lacks; empty where it lacks nothing, or where nothing brings it."""
    if not kind.implementation or is_installed(kind):
        return ""
    return f'pip install "tcli[{kind.extra}]"' if kind.extra else f"install the Python module {kind.needs}"


def kind_of(name: str) -> BackendKind | None:
    """The backend of that name, whether it is here or not."""
    return next((kind for kind in kinds() if kind.name == name), None)


def version_of(kind: BackendKind) -> str:
    """The version of what a backend runs models by; empty where that is not known."""
    for distribution in kind.distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return ""


def backend(name: str, runtime: str = "", directory: str = "") -> Backend:
    """The backend of that name: one that this server has, or else a folder of that name that has a `model.py`.

    Args:
        runtime: `model.py` to prefer the folder.
        directory: where such folders are; empty for none.

    Raises:
        InvalidArgumentError: there is none, or what it needs is not installed; says what brings that.
        BrokenBackendError: what it needs is installed, and cannot be imported.
    """
    kind = kind_of(name)
    is_here = kind is not None and is_installed(kind)
    if directory and name != PYTHON.name and (runtime == PYTHON.model_file or not is_here):
        code = _code(name, directory)
        if code is not None:
            return _shared(name, code)
    if kind is not None and is_here:
        return _implementation(kind)
    if kind is not None and installation(kind):
        raise InvalidArgumentError(f"backend '{name}' is not installed: {installation(kind)}")
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
    here = [kind.name for kind in available()]
    return [*here, *(name for name in found if name not in here)]


@cache
def handling(kind: BackendKind) -> Handling:
    """What is special about a backend's models while they are added; needs nothing that may not be installed.

    Raises:
        BrokenBackendError: its own cannot be imported.
    """
    module, _, name = kind.source.handling.partition(":")
    if not module:
        return Handling()
    try:
        made = getattr(importlib.import_module(module), name)()
    except Exception as error:
        raise _broken(kind, error) from error
    return made if kind in _BUILT_IN else GuardedHandling(made, kind.name)


def settings_of(name: str) -> tuple[str, ...]:
    """What `--backend-config` can tell the backend of that name; one that is a folder has the settings of what runs it."""
    return next((kind.settings for kind in available() if kind.name == name), PYTHON.settings if name else ())


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

    platform = next((kind.platform for kind in kinds() if kind.name == name), "")
    return PythonBackend(BackendKind(name, platform, PYTHON.model_file, PYTHON.settings, PYTHON.model_file), code)


@cache
def _implementation(kind: BackendKind) -> Backend:
    module, _, name = kind.implementation.partition(":")
    try:
        made: Backend = getattr(importlib.import_module(module), name)()
    except Exception as error:  # a shared library that is not there, another version of numpy, and whatever else breaks
        raise _broken(kind, error) from error
    return made


def _broken(kind: BackendKind, error: Exception) -> BrokenBackendError:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_REASON]}"
    LOG.debug("the backend '%s' does not load", kind.name, exc_info=error)
    return BrokenBackendError(kind.name, reason, _repair(kind))


def _repair(kind: BackendKind) -> str:
    """What may bring a backend's module back that is installed and does not load."""
    for distribution in kind.distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(distribution)
            return f"pip install --force-reinstall {distribution}, and what the message names"
    return f"repair the Python module {kind.needs}" if kind.needs else "install the package that brings it again"
