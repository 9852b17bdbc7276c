"""`/infer`: the hot path from a request's bytes to the engine and back."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from tcli_server.engine import Engine
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.observability.log import LOG
from tcli_server.protocols.http.compression import (
    ACCEPT_ENCODING,
    choose_coding,
    compress,
    decompress,
)
from tcli_server.protocols.http.errors import status_and_body
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.infer_request import JSON_RESPONSE, TakesLongError
from tcli_server.protocols.http.infer_response import encode_response, takes_long
from tcli_server.protocols.http.known_requests import KnownRequests
from tcli_server.protocols.http.response_headers import ResponseHeaders
from tcli_server.protocols.http.traces import begin_trace
from tcli_server.protocols.mailbox import ReplyMailbox
from tcli_server.protocols.request_headers import WANTS_TIMING, Asked, RequestHeaders, server_timing
from tcli_server.protocols.shared_memory import SystemSharedMemory
from tcli_server.protocols.texts import short
from tcli_server.protocols.turn import TurnEnd
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.tracing.trace import Trace

_WANTS_TIMING = WANTS_TIMING.encode()
_JSON = b"Content-Type: application/json\r\n"
_BINARY = b"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: %d\r\n"


class Inference:
    """One inference over HTTP, from its request to its response."""

    __slots__ = ("_answered", "_coding", "_exchange", "_form", "_gone", "_infer", "_name", "_request", "_trace")

    def __init__(self, infer: "InferHandler", exchange: Exchange, name: str) -> None:
        self._infer = infer
        self._exchange = exchange
        self._name = name
        self._form = JSON_RESPONSE
        self._request: InferenceRequest | None = None
        self._trace: Trace | None = None
        self._gone = self._answered = False
        accept = exchange.headers.get(b"accept-encoding")
        self._coding = choose_coding(accept.decode("latin-1")) if accept else ""

    def start(self, version: str, in_loop: bool) -> None:
        """Decode and submit; in the loop or, for a large request, in a thread of the pool."""
        exchange = self._exchange
        body = exchange.body
        if self._gone:  # while this waited for a thread; looked at after the body, which is dropped after this is set
            return
        try:
            headers = exchange.headers
            coding = headers.get(b"content-encoding")
            limit = self._infer.max_input_size
            body = decompress(body, coding.decode("latin-1"), limit) if coding else body
            length = headers.get(b"inference-header-content-length")
            json_length = None if length is None else _parse_length(length)
            request, self._form = self._infer.known.decode(body, json_length, self._name, version, limit, in_loop)
            request.reply = self._reply
            if exchange.access is not None:
                exchange.access.follow(request)
            request.byte_size += len(body)
            if self._infer.headers.forwards:
                self._infer.asked_of(headers).hand_on(request)
            self._request = request
            if not self._gone:
                if self._infer.engine.tracer.on:
                    self._trace = begin_trace(self._infer.engine.tracer, request, exchange)
                self._infer.engine.submit(request, self._infer.turn_end if in_loop else None)
        except TakesLongError:
            self._infer.pool.submit(self.start, version, False)
        except Exception as error:  # a defect, too, must answer this request: nobody else will
            self._infer.mailbox.post(self._fail, error)

    def cancel(self, lost: bool) -> None:
        """The client is gone: nobody wants the answer, or perhaps somebody still does where it only ended its input."""
        self._gone = self._gone or lost
        if not lost:
            self._exchange.on_gone = self.cancel  # what runs goes on until it is sure that nobody waits for it
        if self._request is not None:
            self._request.cancel(only_waiting=not lost)

    def _reply(self, response: InferenceResponse) -> None:
        """Called by whichever thread ends the request."""
        self._infer.mailbox.post(self._finish, response)

    def _finish(self, response: InferenceResponse) -> None:
        """In the loop: encode at once what is small, hand what is large to the pool."""
        if self._answered:  # a sender may end alone; in the pool that would overtake the response
            return
        self._answered = True
        if response.error is not None:
            self._fail(response.error)
        elif self._coding or takes_long(response, self._form):
            self._infer.pool.submit(self._encode_in_pool, response)
        else:
            try:
                json_length, parts = encode_response(response, self._form)
            except Exception as error:
                self._fail(error)
                return
            self._send(json_length, parts, self._headers_of(response) if response.parameters else b"")

    def _encode_in_pool(self, response: InferenceResponse) -> None:
        post = self._infer.mailbox.post
        try:
            json_length, parts = encode_response(response, self._form)
            header = self._headers_of(response)
            if self._coding:
                parts = [compress(b"".join(parts), self._coding)]
                header += b"Content-Encoding: %s\r\n" % self._coding.encode()
            post(lambda _: self._send(json_length, parts, header), None)
        except Exception as error:
            post(self._fail, error)

    def _headers_of(self, response: InferenceResponse) -> bytes:
        answers = self._infer.response_headers
        return answers.of(response.parameters) if answers.any else b""

    def _send(self, json_length: int, parts: list[bytes | memoryview], header: bytes) -> None:
        kind = _BINARY % json_length if json_length else _JSON
        if self._exchange.headers.get(_WANTS_TIMING) == b"true" and self._request is not None:
            header += b"Server-Timing: %s\r\n" % server_timing(self._request).encode()
        if self._trace is None:
            self._exchange.respond_parts(200, sum(map(len, parts)), kind + header, parts)
        else:
            with self._trace.sending("HTTP"):
                self._exchange.respond_parts(200, sum(map(len, parts)), kind + header, parts)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, ServerError):
            LOG.error("an inference failed", exc_info=error)
            error = InternalError(f"{type(error).__name__}: {error}")
        status, body = status_and_body(error)
        headers = _JSON
        if status == 501:
            headers += "{}: {}\r\n".format(*ACCEPT_ENCODING).encode()
        if self._trace is None:
            self._exchange.respond(status, body, headers)
        else:
            with self._trace.sending("HTTP"):
                self._exchange.respond(status, body, headers)


@lru_cache(64)
def _parse_length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 19:  # int() alone would also take "1_0", and choke on thousands of digits
        raise InvalidArgumentError(
            f"Unable to parse Inference-Header-Content-Length: found '{short(value.decode('latin-1'))}', expected a count "
            "of bytes"
        )
    return int(value)


class InferHandler:
    """What all inferences of one HTTP server share."""

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        pool: ThreadPoolExecutor,
        max_input_size: int,
        shared: SystemSharedMemory,
        headers: RequestHeaders,
        response_headers: ResponseHeaders,
    ) -> None:
        self.engine = engine
        self.headers = headers
        self.response_headers = response_headers
        self.mailbox = ReplyMailbox(loop)
        self.turn_end = TurnEnd(loop)
        self.pool = pool
        self.known = KnownRequests(shared)
        self.max_input_size = max_input_size

    def asked_of(self, headers: Mapping[bytes, bytes]) -> Asked:
        """What the headers of a request ask for."""
        return self.headers.read((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.items())

    def answer(self, exchange: Exchange, name: str, version: str) -> None:
        """A `RouteHandler`."""
        try:
            self.engine.check_model(name, version)  # first, as in Triton: is it there at all?
        except ServerError as error:
            exchange.respond(*status_and_body(error))
            return
        inference = Inference(self, exchange, name)
        exchange.on_gone = inference.cancel
        if b"content-encoding" in exchange.headers:  # nobody knows how large it will be
            self.pool.submit(inference.start, version, False)
        else:
            inference.start(version, True)
