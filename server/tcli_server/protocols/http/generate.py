"""`generate`, and which handler answers it and `generate_stream`."""

from concurrent.futures import Future

from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.protocols.http.errors import status_and_body
from tcli_server.protocols.http.event_stream import EventStream
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.generation import Generation
from tcli_server.protocols.http.infer import InferHandler
from tcli_server.protocols.texts import short
from tcli_server.request import InferenceResponse
from tcli_server.spec import ModelSpec


class SingleResponse(Generation):
    """Answers with the one response that there must be; unlike in Triton the status is known to be right when it is sent."""

    _body = b""
    _done = False

    def answered(self, response: InferenceResponse, body: bytes, size: int) -> None:
        self._window.take(size)
        if self._done:
            return
        many = bool(body and self._body)
        self._body = body or self._body
        self._done = response.final or many or response.error is not None
        if response.error is not None:
            self.refuse(response.error)
        elif many:
            self.refuse(_wrong_count("more than 1"))
        elif response.final and not self._body:
            self.refuse(_wrong_count("0"))
        elif response.final:
            self.respond(200, self._body)
        if self._done and not response.final:
            self.give_up()


def _wrong_count(found: str) -> InternalError:
    return InternalError(
        "generate expects model to produce exactly 1 response, use generate stream for model that generates various number "
        f"of responses; this one produced {found}"
    )


class GenerateHandler:
    """Answers `generate` or `generate_stream`.

    Args:
        shared: what all inferences of the server have in common.
    """

    def __init__(self, shared: InferHandler, kind: type[Generation]) -> None:
        self._shared = shared
        self._kind = kind

    @classmethod
    def single(cls, shared: InferHandler) -> "GenerateHandler":
        """For `generate`."""
        return cls(shared, SingleResponse)

    @classmethod
    def streaming(cls, shared: InferHandler) -> "GenerateHandler":
        """For `generate_stream`."""
        return cls(shared, EventStream)

    def __call__(self, exchange: Exchange, name: str, version: str) -> None:
        try:
            model = self._shared.engine.check_model(name, version)  # first, as in Triton: is it there at all?
            coding = exchange.headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
            if coding not in ("", "identity"):
                raise InvalidArgumentError(
                    f"Unsupported content-encoding, only 'identity' is supported, found '{short(coding)}'"
                )
        except ServerError as error:
            exchange.respond(*status_and_body(error))
            return
        if model is not None:
            self._begin(exchange, version, model.spec)
        else:
            self._await(exchange, name, version)

    def _begin(self, exchange: Exchange, version: str, spec: ModelSpec) -> None:
        generation = self._kind(self._shared, exchange, spec)
        exchange.on_gone = generation.cancel
        generation.start(version, True)

    def _await(self, exchange: Exchange, name: str, version: str) -> None:
        """Begin when the model is loaded, which tells what a request to it looks like."""
        engine = self._shared.engine

        def loaded(done: "Future[ModelSpec]") -> None:
            error = done.exception()
            if error is None:
                self._begin(exchange, version, done.result())
            else:
                known = error if isinstance(error, ServerError) else InternalError(f"{type(error).__name__}: {error}")
                exchange.respond(*status_and_body(known))

        def post(done: "Future[ModelSpec]") -> None:
            if not done.cancelled():
                self._shared.mailbox.post(loaded, done)

        try:
            waiting = engine.demand.when_loaded(name, version, lambda model: model.spec)
        except ServerError as error:
            exchange.respond(*status_and_body(error))
            return
        if not isinstance(waiting, Future):  # it has come in this moment
            self._begin(exchange, version, waiting)
            return

        def give_up(_: bool) -> None:
            waiting.cancel()

        exchange.on_gone = give_up
        waiting.add_done_callback(post)
