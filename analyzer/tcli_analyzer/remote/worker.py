"""The process that puts a server's model under load."""

import os
import queue
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.inputs import Inputs
from tcli_analyzer.load.failing import LoadFailedError, StuckError
from tcli_analyzer.measuring.visit import visit
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.remote.connections import allow_connections
from tcli_analyzer.remote.messages import MakeRequestsFor
from tcli_analyzer.remote.server_processes import resident_mib, server_processes
from tcli_analyzer.remote.target import RemoteTarget
from tcli_analyzer.variant.messages import Failure, Visit, read_into, send
from tcli_server.apart import begin_apart
from tcli_server.errors import ServerError


def main() -> None:
    """Serve what comes on the standard input, until that ends; the server and the model are arguments."""
    answers = begin_apart()
    allow_connections()
    url, model = sys.argv[2:]
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    read_into(messages)
    try:
        _work(_Worker(url, model), messages, answers)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # a usual end would wait for the reader


def _work(worker: "_Worker", messages: "queue.SimpleQueue[Any]", answers: IO[bytes]) -> None:
    while True:
        message = messages.get()
        try:
            answer = worker.answer(message)
        except (ServerError, LoadFailedError) as error:
            answer = Failure(str(error), isinstance(error, StuckError))
        send(answers, answer)


class _Worker:
    def __init__(self, url: str, model: str) -> None:
        self._url = url
        self._model = model
        self._target: RemoteTarget | None = None
        self._requests: Sequence[Inputs] = ()

    def answer(self, message: MakeRequestsFor | Visit) -> Any:
        if isinstance(message, MakeRequestsFor):
            self._connect()
            self._requests = message.source.make(ModelConfig.FromString(message.config), message.items)
            return len(self._requests)
        assert self._target is not None
        return self._visit(self._target, message)

    def _connect(self) -> None:
        last, self._target = self._target, None
        if last is not None:
            last.__exit__(None, None, None)
        self._target = RemoteTarget(self._url, self._model).__enter__()

    def _visit(self, target: RemoteTarget, message: Visit) -> list[Window]:
        """Memory and GPU of a window are the server's, where it is on this machine."""
        server = server_processes(target.address)
        pids = (os.getpid(), *server) if server else ()
        windows = visit(target, self._requests, message.load, message.options, threading.Event(), pids)
        memory = resident_mib(server)
        return [replace(one, memory_mib=memory, gpu=one.gpu if server else None) for one in windows]
