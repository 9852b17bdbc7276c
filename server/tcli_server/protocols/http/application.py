"""The HTTP endpoints of the V2 protocol and of Triton's extensions."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import orjson
from google.protobuf.message import Message

from tcli_server.engine import Engine
from tcli_server.errors import (
    InternalError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)
from tcli_server.messages import to_json
from tcli_server.observability.log import LOG
from tcli_server.protocols.http import trace_settings
from tcli_server.protocols.http.asker import Asker
from tcli_server.protocols.http.cross_origin import same_origin_only
from tcli_server.protocols.http.errors import status_and_body
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.generate import GenerateHandler
from tcli_server.protocols.http.infer import InferHandler
from tcli_server.protocols.http.log_settings import begin_change, read_settings
from tcli_server.protocols.http.openapi import openapi_document
from tcli_server.protocols.http.options import HttpOptions
from tcli_server.protocols.http.page import page_routes
from tcli_server.protocols.http.repository_request import read_index, read_load, read_unload
from tcli_server.protocols.http.routes import Route, Router, route
from tcli_server.protocols.http.shared_memory import SharedMemoryRoutes
from tcli_server.protocols.shared_memory import SystemSharedMemory

if TYPE_CHECKING:
    from tcli_server.models.model import Model

_EMPTY = b""

Work = Callable[[], "bytes | Future[bytes] | Future[None]"]
"""Makes the body of a 200 answer, in a thread, or begins something whose end, or result, is; may raise ServerError."""


class HttpApplication:
    """Answers exchanges from an engine.

    Args:
        loop: the loop that calls it.
        shared: the memory that clients share with this server.

    Raises:
        InvalidArgumentError: a pattern of the options is none.
    """

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        options: HttpOptions,
        shared: SystemSharedMemory,
    ) -> None:
        headers, response_headers = options.request_headers(), options.response_headers()
        self._engine = engine
        self._loop = loop
        self._max_input_size = options.max_input_size
        # Large JSON and compression; two threads, as they compete with the models for the same cores.
        self._pool = ThreadPoolExecutor(2, "http")
        # Answers that grow with the number of models; a thread apart, lest they wait for somebody's large JSON.
        self._status_pool = ThreadPoolExecutor(1, "http-status")
        # Reading load requests, which can carry whole models; loading itself is the engine's.
        self._control_pool = ThreadPoolExecutor(1, "http-control")
        infer = InferHandler(engine, loop, self._pool, options.max_input_size, shared, headers, response_headers)
        self._router = Router(
            [
                route("POST", "/v2/models/{model}/infer", infer.answer),
                route("POST", "/v2/models/{model}/generate", GenerateHandler.single(infer)),
                route("POST", "/v2/models/{model}/generate_stream", GenerateHandler.streaming(infer)),
                *self._status_routes(),
                *same_origin_only(
                    [
                        *self._repository_routes(),
                        *self._log_routes(),
                        *self._trace_routes(),
                        *SharedMemoryRoutes(shared).routes(),
                    ]
                ),
                route("GET", r"/v2/openapi\.json", lambda exchange, *_: exchange.respond(200, self._openapi)),
                *(page_routes(engine.options.takes_control) if options.ui else ()),
            ]
        )
        self._metadata = orjson.dumps(to_json(engine.server_metadata()))
        self._openapi = orjson.dumps(openapi_document())

    @property
    def routes(self) -> tuple[Route, ...]:
        """What it answers, in the order in which a path is looked for."""
        return self._router.routes

    def answer(self, exchange: Exchange) -> None:
        """A `Handler`."""
        try:
            self._router.answer(exchange)
        except ServerError as error:
            exchange.respond(*status_and_body(error))
        except Exception as error:  # a defect must answer this request and leave the connection usable
            LOG.exception("%s failed", exchange.path[:200])
            exchange.respond(*status_and_body(InternalError(f"{type(error).__name__}: {error}")))

    def takes(self, method: bytes, path: bytes) -> bool:
        """Whether it has such an endpoint."""
        return self._router.takes(method, path)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False)
        self._status_pool.shutdown(wait=False)
        self._control_pool.shutdown(wait=False)

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
        answer = self._engine.begin_model_ready(name, version)
        if answer.done():
            _tell_ready(exchange, answer.result())
        else:
            answer.add_done_callback(lambda done: self._later(_tell_ready, exchange, done.result()))

    def _model_metadata(self, exchange: Exchange, name: str, version: str) -> None:
        self._tell(exchange, name, version, lambda model: self._engine.metadata_of(model, version))

    def _model_config(self, exchange: Exchange, name: str, version: str) -> None:
        self._tell(exchange, name, version, self._engine.config_of)

    def _tell(self, exchange: Exchange, name: str, version: str, read: "Callable[[Model], Message]") -> None:
        """Answer with what is read of a model, once it is loaded."""
        engine = self._engine

        def tell(model: "Model") -> bytes:
            return _dump(read(model))

        def work() -> bytes | Future[bytes]:
            return engine.demand.when_loaded(name, version, tell)

        self._tell_in_thread(exchange, work)

    def _statistics(self, exchange: Exchange, name: str, version: str) -> None:
        self._tell_in_thread(exchange, lambda: _dump(self._engine.statistics(name, version)))

    # --- log ---

    def _log_routes(self) -> list[Route]:
        return [
            route("GET", "/v2/logging", lambda exchange, *_: exchange.respond(200, read_settings())),
            route("POST", "/v2/logging", self._change_log),
        ]

    def _change_log(self, exchange: Exchange, *_: str) -> None:
        self._in_thread(self._status_pool, exchange, lambda: begin_change(self._engine, exchange.body))

    # --- traces ---

    def _trace_routes(self) -> list[Route]:
        pattern = r"/v2/(?:models/(?P<model>[^/]+)/)?trace/setting"
        return [route("GET", pattern, self._trace_settings), route("POST", pattern, self._change_trace)]

    def _trace_settings(self, exchange: Exchange, name: str, _: str) -> None:
        self._tell_in_thread(exchange, lambda: trace_settings.begin_reading(self._engine, name))

    def _change_trace(self, exchange: Exchange, name: str, _: str) -> None:
        def change() -> "Future[bytes]":
            return trace_settings.begin_change(self._engine, name, exchange.body)

        self._in_thread(self._status_pool, exchange, change)

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
        def index() -> bytes:
            ready = read_index(exchange.body, self._max_input_size)
            models = to_json(self._engine.repository_index(ready), defaults=False).get("models", [])
            return orjson.dumps(models)

        self._tell_in_thread(exchange, index)

    def _load(self, exchange: Exchange, name: str, _: str) -> None:
        def load() -> "Future[None]":
            config, files = read_load(exchange.body, self._max_input_size)
            exchange.body = _EMPTY
            return self._engine.begin_load(name, config, files)

        self._check_explicit()
        self._in_thread(self._control_pool, exchange, load)

    def _unload(self, exchange: Exchange, name: str, _: str) -> None:
        def unload() -> "Future[None]":
            return self._engine.begin_unload(name, read_unload(exchange.body, self._max_input_size))

        self._check_explicit()
        self._in_thread(self._control_pool, exchange, unload)

    def _check_explicit(self) -> None:
        if not self._engine.options.takes_control:
            raise UnavailableError(
                "explicit model load / unload is not allowed if polling is enabled: start the server with "
                "--model-control-mode=explicit"
            )

    def _tell_in_thread(self, exchange: Exchange, work: Work) -> None:
        """Answer with what is so, which changes nothing, unless nobody waits for it any more when its turn comes."""
        asker = Asker(exchange)
        self._status_pool.submit(lambda: None if asker.gone else self._run(exchange, work))

    def _in_thread(self, pool: ThreadPoolExecutor, exchange: Exchange, work: Work) -> None:
        exchange.keeps_body = True  # what was asked is done even if the client does not wait for it
        pool.submit(self._run, exchange, work)

    def _run(self, exchange: Exchange, work: Work) -> None:
        try:
            answer = work()
        except Exception as error:
            self._answer(exchange, error)
            return
        if isinstance(answer, Future):
            answer.add_done_callback(lambda done: self._answer(exchange, done.exception() or done.result() or _EMPTY))
        else:
            self._answer(exchange, answer)

    def _answer(self, exchange: Exchange, outcome: bytes | BaseException) -> None:
        """Answer from any thread, whatever it is: the client waits."""
        if isinstance(outcome, bytes):
            status, body = 200, outcome
        elif isinstance(outcome, ServerError):
            status, body = status_and_body(outcome)
        else:
            LOG.error("%s failed", exchange.path[:200], exc_info=outcome)
            status, body = status_and_body(InternalError(f"{type(outcome).__name__}: {outcome}"))
        self._later(exchange.respond, status, body)

    def _later(self, answer: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to answer
            self._loop.call_soon_threadsafe(answer, *arguments)


def _tell_ready(exchange: Exchange, ready: bool) -> None:
    if ready:
        exchange.respond(200, _EMPTY)
    else:
        exchange.fail(400, "Model version not ready")


def _dump(message: Message) -> bytes:
    return orjson.dumps(to_json(message))


def _refuse_repository(*_: Exchange | str) -> None:
    raise UnsupportedError("'repository_name' specification is not supported")
