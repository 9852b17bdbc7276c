"""The endpoints of the shared memory extensions."""

from typing import Any

import orjson

from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.json_text import parse
from tcli_server.protocols.http.routes import Route, route
from tcli_server.protocols.shared_memory import SystemSharedMemory, refuse_cuda
from tcli_server.protocols.texts import short

_LARGEST = 1 << 14
"""Bytes of a registration."""

_ONE = r"(?:/region/(?P<model>[^/]+))?"
"""The router calls what a path is about its model."""


class SharedMemoryRoutes:
    """Answers what clients ask of the regions of one server."""

    def __init__(self, shared: SystemSharedMemory) -> None:
        self._shared = shared

    def routes(self) -> list[Route]:
        """All of them."""
        system, cuda = "/v2/systemsharedmemory" + _ONE, "/v2/cudasharedmemory" + _ONE
        return [
            route("GET", system + "/status", self._status),
            route("POST", system + "/register", self._register),
            route("POST", system + "/unregister", self._unregister),
            route("GET", cuda + "/status", self._cuda_status),
            route("POST", cuda + "/register", self._cuda_register),
            route("POST", cuda + "/unregister", self._cuda_unregister),
        ]

    def _status(self, exchange: Exchange, name: str, _: str) -> None:
        regions = [
            {"name": one.name, "key": one.key, "offset": one.offset, "byte_size": one.byte_size}
            for one in self._shared.status(name)
        ]
        exchange.respond(200, orjson.dumps(regions))

    def _register(self, exchange: Exchange, name: str, _: str) -> None:
        self._shared.check_allowed()
        if not name:
            raise InvalidArgumentError("'region name' is necessary to register system shared memory region")
        if len(exchange.body) > _LARGEST:
            raise InvalidArgumentError(
                f"the registration has {len(exchange.body)} bytes, expected at most {_LARGEST}: key, offset and byte_size"
            )
        document = parse(exchange.body)
        if not isinstance(document, dict):
            raise InternalError("failed to parse the request JSON buffer: expected an object")
        key = document.get("key")
        if not isinstance(key, str):
            raise InvalidArgumentError(
                f"shared memory region '{short(name)}' is not registered: 'key' must be there, and a string"
            )
        offset, byte_size = _count(document.get("offset", 0), "offset"), _count(document.get("byte_size"), "byte_size")
        self._shared.register(name, key, offset, byte_size)
        exchange.respond(200)

    def _unregister(self, exchange: Exchange, name: str, _: str) -> None:
        self._shared.unregister(name)
        exchange.respond(200)

    def _cuda_status(self, exchange: Exchange, name: str, _: str) -> None:
        self._shared.check_no_cuda(name)
        exchange.respond(200, b"[]")

    def _cuda_register(self, _: Exchange, name: str, __: str) -> None:
        self._shared.check_allowed()
        refuse_cuda(name)

    def _cuda_unregister(self, exchange: Exchange, *_: str) -> None:
        self._shared.check_allowed()
        exchange.respond(200)


def _count(value: Any, key: str) -> int:
    if type(value) is not int or not 0 <= value < 2**64:
        raise InvalidArgumentError(f"'{key}' must be there, and a count of bytes; found {short(value)}")
    return value
