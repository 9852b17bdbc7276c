"""NVIDIA's messages without NVIDIA's client: importing this first keeps gRPC out of a process that only needs the messages.

`tritonclient.grpc` imports gRPC for its client before it gives anybody a message. Whoever asks the package for anything else
still gets all of it.
"""

import importlib
import sys
import threading
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_PACKAGE = "tritonclient.grpc"
_MESSAGES = ("model_config_pb2", "service_pb2")
_LOADING = threading.RLock()


class _Package(ModuleType):
    """The package, not executed: the import system finds the modules in it by its path alone."""

    _under_way = False

    def __getattr__(self, name: str) -> Any:
        if name in _MESSAGES or (name.startswith("__") and name != "__all__"):
            raise AttributeError(name)  # the import system looks for a file of that name then
        with _LOADING:
            if _Package._under_way:  # asked by what the package itself imports
                raise AttributeError(name)
            if type(self) is _Package:
                self._execute()
        return getattr(self, name)

    def _execute(self) -> None:
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        _Package._under_way = True
        try:
            self.__spec__.loader.exec_module(self)
        finally:
            _Package._under_way = False
        self.__class__ = ModuleType  # type: ignore[assignment]


def _put_off() -> None:
    spec = find_spec(_PACKAGE)
    assert spec is not None, f"{_PACKAGE} is not installed"
    package = module_from_spec(spec)
    package.__class__ = _Package
    sys.modules[_PACKAGE] = package
    importlib.import_module("tritonclient").grpc = package  # type: ignore[attr-defined]


if _PACKAGE not in sys.modules:
    _put_off()
