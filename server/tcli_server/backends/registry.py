"""Which backends there are: found by the name in a configuration, imported when first needed."""

from functools import cache

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


@cache
def backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        InvalidArgumentError: there is none.
    """
    if name == ONNXRUNTIME.name:
        from tcli_server.backends.onnxruntime.backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend()
    if name == PYTHON.name:
        from tcli_server.backends.python.backend import PythonBackend

        return PythonBackend()
    names = ", ".join(kind.name for kind in AVAILABLE)
    raise InvalidArgumentError(f"unable to find backend '{name}': this server has {names}")
