"""One request in the access log: what is noted of it on its way, and the line that is made of that."""

import json
import time
from collections.abc import Callable
from functools import lru_cache

import orjson

from tcli_server.errors import CancelledError
from tcli_server.observability.log import escaped
from tcli_server.request import InferenceRequest, InferenceResponse, Reply

GONE = "499"
"""The status of an HTTP request whose client did not wait: nginx', as HTTP has none."""

_LONGEST = 1000
"""Characters of a path, an id or a name in a line."""


class AccessEntry:
    """What is noted of one request; its line is written when it ends. In the loop's thread, but for `follow`.

    Args:
        put: takes it at its end.
        client: the address and port of who is connected.
        bytes_in: of the body or message.

    Attributes:
        status: HTTP's, or the name of gRPC's; empty until it is known.
        failed: the request was not answered as it wanted.
        bytes_out: of the body or messages that were sent.
        left: the client has ended its side of an HTTP connection: if the request is cancelled now, it is because of that.
    """

    __slots__ = (
        "_began_ns", "_client", "_compute_ns", "_ended", "_id", "_is_cancelled", "_method", "_model", "_path", "_protocol",
        "_put", "_queue_ns", "_reply", "_request", "_time", "_total_ns", "_version", "bytes_in", "bytes_out", "failed",
        "left", "status",
    )  # fmt: skip

    def __init__(
        self,
        put: Callable[["AccessEntry"], None],
        protocol: str,
        client: str,
        method: bytes,
        path: bytes,
        bytes_in: int,
    ) -> None:
        self._put = put
        self._protocol = protocol
        self._client = client
        self._method = method
        self._path = path if len(path) <= _LONGEST else path[: _LONGEST + 1]
        self._time = time.time()
        self._began_ns = time.monotonic_ns()
        self._total_ns = 0
        self._request: InferenceRequest | None = None
        self._reply: Reply | None = None
        self._id = self._model = self._version = ""
        self._queue_ns: int | None = None
        self._compute_ns: int | None = None
        self._ended = self._is_cancelled = False
        self.bytes_in = bytes_in
        self.bytes_out = 0
        self.status = ""
        self.failed = self.left = False

    def follow(self, request: InferenceRequest) -> None:
        """It is an inference, which is about to be submitted, with its `reply`."""
        self._request = request
        self._reply = request.reply
        request.reply = self._replied

    def end(self, status: str = "", failed: bool = False) -> None:
        """Nothing more comes; a second call changes nothing.

        Args:
            status: instead of what `status` says; likewise `failed`.
        """
        if self._ended:
            return
        self._ended = True
        end_ns = time.monotonic_ns()
        self._total_ns = end_ns - self._began_ns
        request = self._request
        if request is not None:
            self._request = None  # it may hold much, and lines may wait
            self._id, self._model = _short(request.id), _short(request.model_name)
            self._version = _short(self._version or request.model_version)
            if request.compute_start_ns:  # else it came from a cache, or never came to an instance
                self._queue_ns = max(0, request.compute_start_ns - request.queue_ns)
                # An instance may not have finished with a request that has ended.
                self._compute_ns = max(0, min(request.compute_end_ns or end_ns, end_ns) - request.compute_start_ns)
        if status:
            self.status, self.failed = status, failed
        elif self._is_cancelled:  # whatever was sent to whom nobody reads it
            self.status, self.failed = GONE, True
        self._put(self)

    def line(self, is_json: bool) -> bytes:
        """The line, with its end; nothing that a client sent can make it more than one."""
        return self._json() if is_json else self._text()

    def _replied(self, response: InferenceResponse) -> None:
        """Called by whichever thread the response comes from."""
        reply = self._reply
        assert reply is not None
        if response.model_version:
            self._version = response.model_version
        if self.left and isinstance(response.error, CancelledError):
            self._is_cancelled = True
        if response.final:
            self._reply = None  # a circle
        reply(response)

    def _json(self) -> bytes:
        fields: dict[str, str | int] = {
            "time": self._moment(),
            "client": self._client,
            "protocol": self._protocol,
            "method": _decoded(self._method),
            "path": _decoded(self._path),
            "status": self.status,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "total_us": self._total_ns // 1000,
        }
        if self._model:
            fields |= {"model": self._model, "version": self._version}
            if self._id:
                fields["id"] = self._id
        if self._queue_ns is not None and self._compute_ns is not None:
            fields |= {"queue_us": self._queue_ns // 1000, "compute_us": self._compute_ns // 1000}
        try:
            line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # a text that is no Unicode
            line = b"\xff"
        if not line.isascii():
            line = f"{json.dumps(fields, separators=(',', ':'))}\n".encode()  # escapes whatever is no ASCII
        return line.replace(b"\x7f", rb"\u007f")  # the one control character that JSON lets be

    def _text(self) -> bytes:
        line = (
            f"{self._moment()} {self._client or '-'} {self._protocol} {_target(self._method, self._path)} {self.status} "
            f"bytes_in={self.bytes_in} bytes_out={self.bytes_out} total_us={self._total_ns // 1000}"
        )
        if self._model:
            line += f" model={_quoted(self._model)} version={_quoted(self._version)}"
            if self._id:
                line += f" id={_quoted(self._id)}"
        if self._queue_ns is not None and self._compute_ns is not None:
            line += f" queue_us={self._queue_ns // 1000} compute_us={self._compute_ns // 1000}"
        return f"{line}\n".encode(errors="backslashreplace")

    def _moment(self) -> str:
        second = int(self._time)
        return f"{_second(second)}.{int((self._time - second) * 1e6):06d}Z"


@lru_cache(2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@lru_cache(64)
def _target(method: bytes, path: bytes) -> str:
    """What was asked for, in quotes. Most requests ask for one of few things."""
    return _quoted(f"{_decoded(method)} {_decoded(path)}")


def _decoded(text: bytes) -> str:
    return _short(text.decode("latin-1"))


def _quoted(text: str) -> str:
    text = _short(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped(text)}"'


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
