"""The HTTP endpoints of the V2 protocol and of Triton's extensions."""

import asyncio
import base64
import binascii
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from google.protobuf.message import Message

from tcli_server.engine import Engine
from tcli_server.errors import (
    InternalError,
    InvalidArgumentError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)
from tcli_server.protocols.http.errors import status_and_body
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.infer import InferHandler
from tcli_server.protocols.http.messages import to_json
from tcli_server.protocols.http.routes import Route, Router, route

_EMPTY = b""


class HttpApplication:
    """Answers exchanges from an engine.

    Args:
        loop: the loop that calls it.
        max_input_size: bytes of JSON, or of one decompressed body, that a request may have.
    """

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, max_input_size: int) -> None:
        self._engine = engine
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._max_input_size = max_input_size
        # Large JSON and compression; two threads, as they compete with the models for the same cores.
        self._pool = ThreadPoolExecutor(2, "http")
        # Loading blocks for as long as a model takes, so it has threads of its own.
        self._control_pool = ThreadPoolExecutor(engine.options.model_load_thread_count, "http-load")
        infer = InferHandler(engine, loop, self._pool, max_input_size, self._in_loop)
        self._router = Router(
            [
                route("POST", "/v2/models/{model}/infer", infer),
                *self._status_routes(),
                *self._repository_routes(),
                *_routes_not_supported_yet(),
            ]
        )
        self._metadata = orjson.dumps(to_json(engine.server_metadata()))

    def __call__(self, exchange: Exchange) -> None:
        try:
            self._router(exchange)
        except ServerError as error:
            exchange.respond(*status_and_body(error))
        except Exception as error:  # a defect must answer this request and leave the connection usable
            exchange.respond(*status_and_body(InternalError(f"{type(error).__name__}: {error}")))

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False)
        self._control_pool.shutdown(wait=False)

    def _in_loop(self) -> bool:
        return threading.get_ident() == self._loop_thread

    # --- health, metadata, configuration, statistics ---

    def _status_routes(self) -> list[Route]:
        return [
            route("GET", "/v2/health/live", self._live),
            route("GET", "/v2/health/ready", self._ready),
            route("GET", "/v2", lambda exchange, *_: exchange.respond(200, self._metadata)),
            route("GET", "/v2/models/stats", self._statistics),
            route("GET", "/v2/models/{model}/ready", self._model_ready),
            route("GET", "/v2/models/{model}/config", self._model_config),
            route("GET", "/v2/models/{model}/stats", self._statistics),
            route("GET", "/v2/models/{model}", self._model_metadata),
        ]

    def _live(self, exchange: Exchange, *_: str) -> None:
        exchange.respond(self._health(self._engine.live), _EMPTY)

    def _ready(self, exchange: Exchange, *_: str) -> None:
        exchange.respond(self._health(self._engine.ready), _EMPTY)

    def _health(self, check: Callable[[], bool]) -> int:
        if self._engine.stopping:
            return 503
        return 200 if check() else 400

    def _model_ready(self, exchange: Exchange, name: str, version: str) -> None:
        self._engine.model_ready(name, version)
        exchange.respond(200, _EMPTY)

    def _model_metadata(self, exchange: Exchange, name: str, version: str) -> None:
        _respond_message(exchange, self._engine.model_metadata(name, version))

    def _model_config(self, exchange: Exchange, name: str, version: str) -> None:
        _respond_message(exchange, self._engine.model_config(name, version))

    def _statistics(self, exchange: Exchange, name: str, version: str) -> None:
        _respond_message(exchange, self._engine.statistics(name, version))

    # --- repository ---

    def _repository_routes(self) -> list[Route]:
        one = r"/v2/repository/models/(?P<model>[^/]*)"
        return [
            route("POST", r"/v2/repository(?:/[^/]+)?/index", self._index),
            route("POST", one + "/load", self._load),
            route("POST", one + "/unload", self._unload),
            route("POST", r"/v2/repository/[^/]+/models/(?P<model>[^/]*)/(?:un)?load", _refuse_repository),
        ]

    def _index(self, exchange: Exchange, *_: str) -> None:
        document = _parse_object(exchange.body)
        ready = document.get("ready", False)
        if not isinstance(ready, bool):
            raise InvalidArgumentError("Invalid value for 'ready': expected a boolean")
        index = to_json(self._engine.repository_index(ready), defaults=False)
        exchange.respond(200, orjson.dumps(index.get("models", [])))

    def _load(self, exchange: Exchange, name: str, _: str) -> None:
        self._check_explicit()
        config, files = _load_parameters(_parse_object(exchange.body))
        self._in_background(exchange, lambda: self._engine.load(name, config, files))

    def _unload(self, exchange: Exchange, name: str, _: str) -> None:
        self._check_explicit()
        parameters = _parse_object(exchange.body).get("parameters")
        dependents = isinstance(parameters, dict) and parameters.get("unload_dependents") is True
        self._in_background(exchange, lambda: self._engine.unload(name, dependents))

    def _check_explicit(self) -> None:
        if self._engine.options.model_control_mode != "explicit":
            raise UnavailableError(
                "explicit model load / unload is not allowed if polling is enabled: start the server with "
                "--model-control-mode=explicit"
            )

    def _in_background(self, exchange: Exchange, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
                status, body = 200, _EMPTY
            except ServerError as error:
                status, body = status_and_body(error)
            except Exception as error:  # answered, whatever it is: the client waits
                status, body = status_and_body(InternalError(f"{type(error).__name__}: {error}"))
            self._loop.call_soon_threadsafe(exchange.respond, status, body)

        self._control_pool.submit(run)


def _respond_message(exchange: Exchange, message: Message) -> None:
    exchange.respond(200, orjson.dumps(to_json(message)))


def _parse_object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InternalError(f"failed to parse the request JSON buffer: {error}") from None
    if not isinstance(document, dict):
        raise InternalError("failed to parse the request JSON buffer: expected an object")
    return document


def _load_parameters(document: dict[str, Any]) -> tuple[str | None, dict[str, bytes]]:
    """The `config` and the `file:<path>` parameters of a load request."""
    config: str | None = None
    files: dict[str, bytes] = {}
    parameters = document.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InternalError("Unable to parse 'parameters': expected an object")
    for key, value in parameters.items():
        if not isinstance(value, str):
            raise InternalError(f"unexpected type for load parameter '{key}', expected a string")
        if key == "config":
            config = value
        elif key.startswith("file:"):
            files[key.removeprefix("file:")] = _decode_base64(key, value)
        else:
            raise InternalError(f"unrecognized load parameter '{key}', expected 'config' or 'file:<path>'")
    return config, files


def _decode_base64(key: str, value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except binascii.Error as error:
        raise InternalError(f"load parameter '{key}' is not base64: {error}") from None


def _refuse_repository(*_: Exchange | str) -> None:
    raise UnsupportedError("'repository_name' specification is not supported")


def _routes_not_supported_yet() -> list[Route]:
    """Triton's other extensions: known paths, so that a client learns what is missing instead of 'Not Found'."""
    missing = {
        r"/v2/models/{model}/generate(?:_stream)?": ("generate", ("POST",)),
        r"/v2/(?:models/(?P<model>[^/]+)/)?trace/setting": ("trace", ("GET", "POST")),
        r"/v2/logging": ("logging", ("GET", "POST")),
        r"/v2/systemsharedmemory/.*": ("system_shared_memory", ("GET", "POST")),
        r"/v2/cudasharedmemory/.*": ("cuda_shared_memory", ("GET", "POST")),
    }
    routes = []
    for pattern, (extension, methods) in missing.items():

        def refuse(exchange: Exchange, *_: str, extension: str = extension) -> None:
            exchange.fail(501, f"the '{extension}' extension is not supported by this server yet")

        routes += [route(method, pattern, refuse) for method in methods]
    return routes
