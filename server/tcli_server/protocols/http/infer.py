"""`/infer`: the hot path from a request's bytes to the engine and back."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tcli_server.engine import Engine
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.models.model import Model
from tcli_server.protocols.http.compression import (
    ACCEPT_ENCODING,
    choose_coding,
    compress,
    decompress,
)
from tcli_server.protocols.http.errors import status_and_body
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.infer_request import ResponseForm, decode_request
from tcli_server.protocols.http.infer_response import encode_response, large_json
from tcli_server.protocols.http.json_tensors import LARGE
from tcli_server.protocols.mailbox import ReplyMailbox
from tcli_server.request import InferenceResponse

_JSON = b"Content-Type: application/json\r\n"
_BINARY = b"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: %d\r\n"
_LARGE_COMPRESSED = 1 << 14


class Inference:
    """One inference over HTTP, from its request to its response."""

    __slots__ = ("_coding", "_exchange", "_form", "_infer", "_model")

    def __init__(self, infer: "InferHandler", exchange: Exchange, model: Model) -> None:
        self._infer = infer
        self._exchange = exchange
        self._model = model
        self._form = ResponseForm()
        accept = exchange.headers.get(b"accept-encoding")
        self._coding = choose_coding(accept.decode("latin-1")) if accept else ""

    def start(self, version: str) -> None:
        """Decode and submit; in the loop or, for a large request, in a thread of the pool."""
        exchange = self._exchange
        try:
            headers = exchange.headers
            coding = headers.get(b"content-encoding")
            limit = self._infer.max_input_size
            body = decompress(exchange.body, coding.decode("latin-1"), limit) if coding else exchange.body
            length = headers.get(b"inference-header-content-length")
            json_length = None if length is None else _parse_length(length)
            request, self._form = decode_request(body, json_length, self._model, version, limit)
            request.reply = self._reply
            self._infer.engine.submit(request)
        except Exception as error:  # a defect, too, must answer this request: nobody else will
            self._infer.mailbox.post(self._fail, error) if self._in_pool() else self._fail(error)

    def _in_pool(self) -> bool:
        return not self._infer.in_loop()

    def _reply(self, response: InferenceResponse) -> None:
        """Called by the model's worker thread."""
        self._infer.mailbox.post(self._finish, response)

    def _finish(self, response: InferenceResponse) -> None:
        """In the loop: encode at once what is small, hand what is large to the pool."""
        if response.error is not None:
            self._fail(response.error)
        elif self._coding or large_json(response, self._form, LARGE):
            self._infer.pool.submit(self._encode_in_pool, response)
        else:
            try:
                json_length, parts = encode_response(response, self._form, self._model)
            except Exception as error:
                self._fail(error)
                return
            self._send(json_length, parts, b"")

    def _encode_in_pool(self, response: InferenceResponse) -> None:
        post = self._infer.mailbox.post
        try:
            json_length, parts = encode_response(response, self._form, self._model)
            header = b""
            if self._coding:
                parts = [compress(b"".join(parts), self._coding)]
                header = b"Content-Encoding: %s\r\n" % self._coding.encode()
            post(lambda _: self._send(json_length, parts, header), None)
        except Exception as error:
            post(self._fail, error)

    def _send(self, json_length: int, parts: list[bytes | memoryview], header: bytes) -> None:
        kind = _BINARY % json_length if json_length else _JSON
        self._exchange.respond_parts(200, sum(map(len, parts)), kind + header, parts)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, ServerError):
            error = InternalError(f"{type(error).__name__}: {error}")
        status, body = status_and_body(error)
        headers = _JSON
        if status == 501:
            headers += "{}: {}\r\n".format(*ACCEPT_ENCODING).encode()
        self._exchange.respond(status, body, headers)


def _parse_length(value: bytes) -> int:
    try:
        length = int(value)
    except ValueError:
        length = -1
    if length < 0:
        raise InvalidArgumentError(
            f"Unable to parse Inference-Header-Content-Length: found '{value.decode('latin-1')}', expected a count of bytes"
        )
    return length


class InferHandler:
    """What all inferences of one HTTP server share."""

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        pool: ThreadPoolExecutor,
        max_input_size: int,
        in_loop: Callable[[], bool],
    ) -> None:
        self.engine = engine
        self.mailbox = ReplyMailbox(loop)
        self.pool = pool
        self.max_input_size = max_input_size
        self.in_loop = in_loop

    def __call__(self, exchange: Exchange, name: str, version: str) -> None:
        try:
            model = self.engine.model(name, version)
        except ServerError as error:
            exchange.respond(*status_and_body(error))
            return
        inference = Inference(self, exchange, model)
        headers = exchange.headers
        length = headers.get(b"inference-header-content-length")
        json_bytes = int(length) if length is not None and length.isdigit() else len(exchange.body)
        compressed = b"content-encoding" in headers and len(exchange.body) > _LARGE_COMPRESSED
        if json_bytes > LARGE or compressed:
            self.pool.submit(inference.start, version)
        else:
            inference.start(version)
