"""Which backend runs a model: found by the name in its configuration, imported when first needed."""

from functools import cache

from tcli_server.backends import Backend
from tcli_server.errors import InvalidArgumentError

NAMES = ("onnxruntime",)


@cache
def backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        InvalidArgumentError: there is none.
    """
    if name == "onnxruntime":
        from tcli_server.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend()
    raise InvalidArgumentError(f"unable to find backend '{name}': this server has {', '.join(NAMES)}")
