"""Clients that ask one request after the other, over HTTP or gRPC, and repeat once what failed; for `replicas.py` and `rolling_reload.py`."""

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import grpc
import numpy as np
from tritonclient.grpc import service_pb2_grpc

from load import http_request
from soak_models import SHAPE
from soak_traffic import message

_CLIENTS = 4
"""For each protocol."""


@dataclass
class Outcome:
    """What became of the requests of one protocol.

    Attributes:
        answered: at the first try.
        failed: at the first try, with what the client heard.
        lost: also at the second.
    """

    answered: int = 0
    failed: "Counter[str]" = field(default_factory=Counter)
    lost: int = 0

    def summary(self) -> dict[str, object]:
        """For JSON."""
        return {"answered": self.answered, "failed": dict(self.failed), "lost": self.lost}


def _http_caller(port: int, models: Sequence[str]) -> Callable[[int], str]:
    """Asks once and says what went wrong, if anything."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(number: int) -> str:
        model = models[number % len(models)]
        head, _, body = http_request("replicas", model, {"INPUT0": np.zeros(SHAPE, np.float32)}).partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if not line.startswith("Host"))
        try:
            connection.request("POST", f"/v2/models/{model}/infer", body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__
        return "" if answer.status == 200 else str(answer.status)

    return ask


def _grpc_caller(port: int, models: Sequence[str]) -> Callable[[int], str]:
    """The same over gRPC, on a connection of its own."""
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def ask(number: int) -> str:
        try:
            stub.ModelInfer(message(models[number % len(models)], np.zeros(SHAPE, np.float32)), timeout=60)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"[:80]
        return ""

    return ask


class Callers:
    """Four clients for each protocol, from `start` to `stop`; each takes the models in turns."""

    def __init__(self, http_port: int, grpc_port: int, models: Sequence[str]) -> None:
        self._ends = threading.Event()
        self._each = [Outcome() for _ in range(2 * _CLIENTS)]
        callers = [(_http_caller, http_port), (_grpc_caller, grpc_port)] * _CLIENTS
        self._threads = [
            threading.Thread(target=self._run, args=(caller(port, models), outcome))
            for (caller, port), outcome in zip(callers, self._each, strict=True)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> dict[str, Outcome]:
        """What became of the requests of each protocol."""
        self._ends.set()
        for thread in self._threads:
            thread.join()
        return {"http": _sum(self._each[::2]), "grpc": _sum(self._each[1::2])}

    def _run(self, ask: Callable[[int], str], outcome: Outcome) -> None:
        number = 0
        while not self._ends.is_set():
            number += 1
            wrong = ask(number)
            if not wrong:
                outcome.answered += 1
                continue
            outcome.failed[wrong] += 1
            if ask(number):
                outcome.lost += 1


def _sum(outcomes: Sequence[Outcome]) -> Outcome:
    failed: Counter[str] = Counter()
    for one in outcomes:
        failed += one.failed
    return Outcome(sum(one.answered for one in outcomes), failed, sum(one.lost for one in outcomes))
