"""HTTP as managed clouds ask for it, Vertex AI and SageMaker: a path for health and one for inference on one model, over the
endpoints of the V2 protocol."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from tcli_server.protocols.http.application import HttpApplication
from tcli_server.protocols.http.exchange import Answering, Exchange, Handler, Parts

_READY = b"/v2/health/ready"
_METRICS = b"/metrics"
_NO_HEADERS = b""
_HEADER_SIZE = b";json-header-size="
_JSON_LENGTH = b"inference-header-content-length"
_BINARY_ANSWER = re.compile(rb"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: ([0-9]+)\r\n")


@dataclass(frozen=True, slots=True)
class Cloud:
    """What one of them asks for.

    Attributes:
        name: as the names of its options begin, with underscores.
        title: for people.
        service: as Triton's log calls it.
        port: 0 takes a free one.
        health: path that tells with GET whether the server is ready.
        infer: path that takes requests for inference with POST.
        model: that these are for.
        media_type: of a body with binary tensors, of which `;json-header-size=N` tells the bytes of its JSON.
        answers_in_media_type: so are answers with binary tensors; else as in the V2 protocol.
        redirect: lower-case name of a header that says which other endpoint a request is for, without the slash in front;
            empty for none.
    """

    name: str
    title: str
    service: str
    port: int
    health: str
    infer: str
    model: str
    media_type: str
    answers_in_media_type: bool = False
    redirect: str = ""


class CloudRoutes:
    """What a cloud's requests mean.

    Attributes:
        health: as `Cloud.health`; likewise infer and redirect.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.health, self.infer = cloud.health.encode(), cloud.infer.encode()
        self.redirect = cloud.redirect.encode()
        self._model_infer = f"/v2/models/{quote(cloud.model, safe='')}/infer".encode()

    def meant(self, target: bytes, headers: Mapping[bytes, bytes]) -> bytes:
        """The endpoint of the V2 protocol, or `/metrics`, that a request for `target` is answered by; what there is none for as it is."""
        path = target.partition(b"?")[0]
        if path == self.health:
            return _READY
        if path != self.infer:
            return target
        other = headers.get(self.redirect)
        return b"/" + other if other else self._model_infer


class CloudApplication:
    """Answers a cloud's requests.

    Args:
        routes: of the cloud.
        application: answers those of the V2 protocol.
        metrics: answers `GET /metrics`; None where there are none.
    """

    def __init__(
        self, cloud: Cloud, routes: CloudRoutes, application: HttpApplication, metrics: Handler | None
    ) -> None:
        self._routes = routes
        self._application = application
        self._metrics = metrics
        self._media_type = cloud.media_type.encode()
        self._answers_in_media_type = cloud.answers_in_media_type

    def answer(self, exchange: Exchange) -> None:
        """A `Handler`."""
        routes = self._routes
        path = exchange.path.partition(b"?")[0]
        if path not in (routes.health, routes.infer):
            exchange.respond(400, b"", _NO_HEADERS)
            return
        if exchange.method != (b"GET" if path == routes.health else b"POST"):
            exchange.fail(405, "Method Not Allowed")
            return
        exchange.path = routes.meant(exchange.path, exchange.headers)
        if path == routes.health:
            self._application.answer(exchange)
        elif exchange.headers.get(routes.redirect):
            self._answer_other(exchange)
        else:
            self._read_media_type(exchange)
            self._application.answer(exchange)

    def _answer_other(self, exchange: Exchange) -> None:
        """Clouds only let POST through, whatever the endpoint takes."""
        if exchange.path == _METRICS and self._metrics is not None:
            exchange.method = b"GET"
            self._metrics(exchange)
        elif self._application.takes(b"POST", exchange.path) or self._application.takes(b"GET", exchange.path):
            if not self._application.takes(b"POST", exchange.path):
                exchange.method = b"GET"
            self._application.answer(exchange)
        else:
            exchange.respond(400, b"", _NO_HEADERS)

    def _read_media_type(self, exchange: Exchange) -> None:
        kind, given, size = exchange.headers.get(b"content-type", b"").replace(b" ", b"").partition(_HEADER_SIZE)
        if not given or kind != self._media_type:
            return
        exchange.headers = {**exchange.headers, _JSON_LENGTH: size}  # others may have the headers that there are
        if self._answers_in_media_type:
            exchange.answer_through(lambda connection: _InMediaType(connection, self._media_type))


class _InMediaType:
    """A connection on which answers with binary tensors say so in their content type alone: SageMaker hands on no other header."""

    def __init__(self, connection: Answering, media_type: bytes) -> None:
        self._connection = connection
        self._content_type = b"Content-Type: " + media_type + _HEADER_SIZE + rb"\1" + b"\r\n"

    def finish(self, exchange: Exchange, status: int, length: int, headers: bytes, parts: Parts) -> None:
        headers = _BINARY_ANSWER.sub(self._content_type, headers)
        self._connection.finish(exchange, status, length, headers, parts)

    def begin(self, exchange: Exchange, status: int, headers: bytes) -> None:
        self._connection.begin(exchange, status, headers)

    def write(self, exchange: Exchange, piece: bytes) -> bool:
        return self._connection.write(exchange, piece)

    def end(self, exchange: Exchange) -> None:
        self._connection.end(exchange)

    def drop_body(self, exchange: Exchange) -> None:
        self._connection.drop_body(exchange)
