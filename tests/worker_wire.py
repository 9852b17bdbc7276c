"""A worker's side and the server's side in one process, with the wire between them."""

import json
import threading
from collections.abc import Callable
from typing import Any

from tcli_server.backends.python.services import Services
from tcli_server.backends.python.stub.link import checked

Message = dict[str, Any]


class Wire:
    """Stands where a worker has its sockets: messages are JSON on their way, both ways."""

    loading = ""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._answers: dict[int, Message] = {}
        self._came = threading.Condition()
        self._calls = 0

    def ask(self, kind: str, body: Message) -> Message:
        """As `Link.ask`."""
        with self._came:
            self._calls += 1
            call = self._calls
        self._send({**body, "kind": kind, "call": call})
        with self._came:
            assert self._came.wait_for(lambda: call in self._answers, 60)
            return checked(self._answers.pop(call))

    def tell(self, kind: str, body: Message) -> None:
        """As `Link.tell`."""
        self._send({**body, "kind": kind})

    def _send(self, message: Message) -> None:
        message = json.loads(json.dumps(message))
        self.services.handlers[message["kind"]](_Back(self._answered), message)

    def _answered(self, message: Message) -> None:
        with self._came:
            self._answers[message["call"]] = json.loads(json.dumps(message))
            self._came.notify_all()


class _Back:
    def __init__(self, answered: Callable[[Message], None]) -> None:
        self._answered = answered

    def tell(self, message: Message) -> None:
        """As `WorkerProcess.tell`."""
        self._answered(message)
