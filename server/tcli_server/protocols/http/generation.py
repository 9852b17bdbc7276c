"""One request to generate, from its body to the engine: what `generate` and `generate_stream` have in common."""

from abc import ABC, abstractmethod
from collections import deque

from tcli_server.errors import InternalError, ServerError
from tcli_server.observability.log import LOG
from tcli_server.protocols.http.errors import status_and_body
from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.generate_request import decode_generate
from tcli_server.protocols.http.generate_response import encode_generated
from tcli_server.protocols.http.infer import InferHandler
from tcli_server.protocols.http.infer_request import JSON_RESPONSE, TakesLongError
from tcli_server.protocols.http.infer_response import takes_long
from tcli_server.protocols.http.traces import begin_trace
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.spec import ModelSpec
from tcli_server.tracing.trace import Trace
from tcli_server.window import ResponseWindow

_Arrival = tuple[InferenceResponse, int]


class Generation(ABC):
    """A request and its responses, which reach `answered` in their order, encoded.

    Args:
        shared: what it has in common with all inferences of the server.
        spec: of the model that is asked.
    """

    def __init__(self, shared: InferHandler, exchange: Exchange, spec: ModelSpec) -> None:
        self._shared = shared
        self._exchange = exchange
        self._spec = spec
        self._window = ResponseWindow()
        self._request: InferenceRequest | None = None
        self._trace: Trace | None = None
        self._waiting: deque[_Arrival] = deque()
        self._encoding = False
        self._gone = False

    @abstractmethod
    def answered(self, response: InferenceResponse, body: bytes, size: int) -> None:
        """Another response, in the loop.

        Args:
            body: of the response's, or its error's, JSON; empty for an end without a response.
            size: to be taken from the window as soon as the client has it.
        """

    @property
    def taken_on(self) -> bool:
        """Whether the model has taken the request, so that an error may be the model's."""
        return self._request is not None and self._request.observer is not None

    def start(self, version: str, in_loop: bool) -> None:
        """Decode and submit; in the loop or, for a large request, in a thread of the pool."""
        body = self._exchange.body
        if self._gone:  # while this waited for a thread; looked at after the body, which is dropped after this is set
            return
        try:
            request = decode_generate(body, version, self._spec, self._shared.max_input_size, in_loop)
            if self._shared.headers.forwards:
                self._shared.asked_of(self._exchange.headers).hand_on(request)
            request.reply = self._reply
            access = self._exchange.access
            if access is not None:
                access.follow(request)
            request.takes_many, request.window = True, self._window
            self._request = request
            if not self._gone:
                if self._shared.engine.tracer.on:
                    self._trace = begin_trace(self._shared.engine.tracer, request, self._exchange)
                self._shared.engine.submit(request, self._shared.turn_end if in_loop else None)
        except TakesLongError:
            self._shared.pool.submit(self.start, version, False)
        except Exception as error:  # a defect, too, must answer this request: nobody else will
            self._shared.mailbox.post(self.refuse, error)

    def cancel(self, lost: bool) -> None:
        """The client is gone: nobody wants the answer, or perhaps somebody still does where it only ended its input."""
        self._gone = self._gone or lost
        if not lost:
            self._exchange.on_gone = self.cancel  # what runs goes on for as long as there is a connection
        if self._request is not None:
            self._request.cancel(only_waiting=not lost)

    def give_up(self) -> None:
        """No more responses are wanted."""
        if self._request is not None:
            self._request.cancel()

    def refuse(self, error: Exception) -> None:
        """Answer with an error, before anything else was sent."""
        self.respond(*status_and_body(_told(error)))

    def respond(self, status: int, body: bytes) -> None:
        """Answer with that alone."""
        if self._trace is None:
            self._exchange.respond(status, body)
        else:
            with self._trace.sending("HTTP"):
                self._exchange.respond(status, body)

    def _reply(self, response: InferenceResponse) -> None:
        """Called by whichever thread the response comes from."""
        size = response.size
        self._window.add(size)
        self._shared.mailbox.post(self._arrived, (response, size))

    def _arrived(self, arrival: _Arrival) -> None:
        self._waiting.append(arrival)
        self._encode_next()

    def _encode_next(self) -> None:
        """In the loop: encode at once what is small, hand what is large to the pool, and keep their order."""
        while self._waiting and not self._encoding:  # the model may answer within `answered`
            response, size = self._waiting.popleft()
            if response.error is None and takes_long(response, JSON_RESPONSE):
                self._encoding = True
                self._shared.pool.submit(self._encode_in_pool, response, size)
                return
            self.answered(*_encoded(response), size)

    def _encode_in_pool(self, response: InferenceResponse, size: int) -> None:
        response, body = _encoded(response)
        self._shared.mailbox.post(self._encoded_in_pool, (response, body, size))

    def _encoded_in_pool(self, encoded: tuple[InferenceResponse, bytes, int]) -> None:
        self._encoding = False
        self.answered(*encoded)
        self._encode_next()


def _encoded(response: InferenceResponse) -> tuple[InferenceResponse, bytes]:
    """A response, or the error that came up with its outputs, and its JSON."""
    if response.empty:
        return response, b""
    if response.error is None:
        try:
            return response, encode_generated(response)
        except Exception as error:
            response = InferenceResponse(
                response.model_name, response.model_version, response.id, error=_told(error), final=response.final
            )
    return response, status_and_body(_told(response.error))[1]


def _told(error: Exception | None) -> ServerError:
    """An error as the client hears of it; a defect goes to the log."""
    if isinstance(error, ServerError):
        return error
    LOG.error("a generation failed", exc_info=error)
    return InternalError(f"{type(error).__name__}: {error}")
