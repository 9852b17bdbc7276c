"""`generate_stream`: each response is a server-sent event, written as soon as the model gives it."""

from tcli_server.protocols.http.errors import STATUS
from tcli_server.protocols.http.generation import Generation
from tcli_server.request import InferenceResponse

_HEADERS = b"Content-Type: text/event-stream; charset=utf-8\r\n"


class EventStream(Generation):
    """Answers with all responses; the first one says the status, what comes later can only be an event."""

    _begun = False
    _unsent = 0

    def answered(self, response: InferenceResponse, body: bytes, size: int) -> None:
        if not self._begun and response.error is not None and not self.taken_on:
            self.refuse(response.error)
        elif self._trace is None:
            self._send(response, body, size)
        elif body:
            with self._trace.sending("HTTP", response.final):
                self._send(response, body, size)
        else:  # an end without a response
            self._send(response, body, size)
            self._trace.close()

    def _send(self, response: InferenceResponse, body: bytes, size: int) -> None:
        if not self._begun:
            self._begun = True
            self._exchange.on_room = self._sent
            self._exchange.begin(200 if response.error is None else STATUS[response.error.kind], _HEADERS)
        room = self._exchange.write(b"data: %b\n\n" % body) if body else True
        if room:
            self._window.take(size)
        else:
            self._unsent += size
        if response.final:
            self._exchange.end()

    def _sent(self) -> None:
        """The transport has room again."""
        size, self._unsent = self._unsent, 0
        self._window.take(size)
