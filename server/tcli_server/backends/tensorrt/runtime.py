"""Reads plan files: TensorRT's runtime, what it logs, and the engines that instances share."""

import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorrt as trt

from tcli_server.backends.complaint import SWITCH, is_on
from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.tensorrt.description import EngineDescription, describe
from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.log import LOG

_MAGIC = b"ftrt"
"""How plan files begin."""


class _Logger(trt.ILogger):  # type: ignore[misc]
    """TensorRT's log in ours, and its last error, which its calls do not return."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.last_error = ""

    def log(self, severity: Any, message: str) -> None:
        """As `ILogger.log`: called by TensorRT, from any thread."""
        text = " ".join(message.split())
        if severity.name in ("INTERNAL_ERROR", "ERROR"):
            self.last_error = text
            LOG.error("TensorRT: %s", text)
        elif severity.name == "WARNING":
            LOG.warning("TensorRT: %s", text)
        else:
            LOG.debug("TensorRT: %s", text)


class Engine:
    """An engine on one GPU, for any number of execution contexts.

    Attributes:
        handle: the `tensorrt.ICudaEngine`.
        description: what it takes and gives.
    """

    def __init__(self, runtime: Any, handle: Any) -> None:
        self._runtime = runtime  # which has to outlive it
        self.handle = handle
        self.description: EngineDescription = describe(handle)


_logger = _Logger()
_reading = threading.Lock()
"""TensorRT reads one engine at a time, as Triton's backend has it, too."""

_engines: weakref.WeakValueDictionary[tuple[object, ...], Engine] = weakref.WeakValueDictionary()
_plugins: set[str] = set()


def last_error() -> str:
    """What TensorRT has said last that is wrong."""
    return _logger.last_error or "TensorRT gives no reason"


def load_engine(file: Path, gpu: int, dla_core: int | None, settings: Mapping[str, str]) -> Engine:
    """The engine of a plan file, shared by all instances on the same device. The GPU is the calling thread's.

    Args:
        settings: `--backend-config`: `plugins`, `version-compatible`.

    Raises:
        ModelFileError: TensorRT does not read it.
        InvalidArgumentError: there is no such DLA core, or a setting is wrong.
    """
    about = file.stat()
    key = (str(file), about.st_ino, about.st_size, about.st_mtime_ns, gpu, dla_core, *sorted(settings.items()))
    with _reading:
        engine = _engines.get(key)
        if engine is None:
            engine = _engines[key] = _read(file, dla_core, settings)
        return engine


def _read(file: Path, dla_core: int | None, settings: Mapping[str, str]) -> Engine:
    _load_plugins(settings.get("plugins", ""))
    _logger.last_error = ""
    runtime = trt.Runtime(_logger)
    compatible = settings.get("version-compatible", "false")
    if not SWITCH.fits(compatible):
        raise InvalidArgumentError(
            f"--backend-config=tensorrt,version-compatible={compatible}: expected {SWITCH.expected}"
        )
    if is_on(compatible):
        runtime.engine_host_code_allowed = True
    if dla_core is not None:
        if dla_core >= runtime.num_DLA_cores:
            raise InvalidArgumentError(
                f"unable to create TensorRT runtime with DLA Core ID: {dla_core}, available number of DLA cores: "
                f"{runtime.num_DLA_cores}; fix: name one that is there in instance_group.secondary_devices, or remove them"
            )
        runtime.DLA_core = dla_core
    content = file.read_bytes()
    handle = runtime.deserialize_cuda_engine(content)
    if handle is None:
        expected = f"an engine that TensorRT {trt.__version__} can run on this GPU"
        found = f"refused: unable to create TensorRT engine: {last_error()}"
        if not content.startswith(_MAGIC):
            found = f"no TensorRT plan (it starts with {content[:8]!r}); {found}"
        fix = "build it on such a GPU with this version: trtexec --onnx=model.onnx --saveEngine=model.plan"
        raise ModelFileError(file, expected, found, fix)
    return Engine(runtime, handle)


def _load_plugins(libraries: str) -> None:
    if not _plugins:
        trt.init_libnvinfer_plugins(_logger, "")
        _plugins.add("")
    for library in filter(None, libraries.split(";")):
        if library in _plugins:
            continue
        if trt.get_plugin_registry().load_library(library) is None:
            raise InvalidArgumentError(
                f"--backend-config=tensorrt,plugins={library}: TensorRT cannot load it ({last_error()}); fix: give paths of "
                "libraries of plugins, with ; between them"
            )
        _plugins.add(library)
