"""The process that puts a server's model under load."""

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.inputs import Inputs
from tcli_analyzer.measuring.visit import visit
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.remote.connections import allow_connections
from tcli_analyzer.remote.messages import MakeRequestsFor
from tcli_analyzer.remote.server_processes import resident_mib, server_processes
from tcli_analyzer.remote.target import RemoteTarget
from tcli_analyzer.variant.answering import answer_all
from tcli_analyzer.variant.messages import Visit
from tcli_server.apart import begin_apart


def main() -> None:
    """Serve what comes on the standard input, until that ends; the server and the model are arguments."""
    answers = begin_apart()
    allow_connections()
    url, model = sys.argv[2:]
    answer_all(lambda: nullcontext(_Worker(url, model)), answers)


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
