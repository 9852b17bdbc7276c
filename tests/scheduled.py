"""Requests and instances for the tests of the scheduler."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Placement
from tcli_server.errors import NotFoundError
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.choose import scheduler_for
from tcli_server.signature import ModelSignature
from tcli_server.spec import read_spec

CONFIG = """
name: "m"
input { name: "X" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] }
"""

HOUR_US = 3_600 * 10**6
BATCHING = "max_batch_size: 8 dynamic_batching { }"


class Doubling:
    """An instance that answers twice its input; it can be held back, and it remembers its batches.

    Attributes:
        batches: the batch size of each run, in order.
        gate: `run` waits until it is set.
        entered: released once for each run that has begun.
    """

    signature = ModelSignature((), ())
    steady = True
    lanes = 1

    def __init__(self, run: Callable[[Mapping[str, np.ndarray]], np.ndarray] | None = None) -> None:
        self.batches: list[int] = []
        self.values: list[list[float]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.closed = threading.Event()
        self._run = run

    def prepare(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if np.isnan(inputs["X"]).any():
            raise ValueError("not a number")
        return inputs

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:  # noqa: ARG002
        self.batches.append(inputs["X"].shape[0])
        self.values.append(inputs["X"][:, 0].tolist())
        self.entered.release()
        assert self.gate.wait(60)
        return [self._run(inputs) if self._run else inputs["X"] * 2]

    def close(self) -> None:
        self.closed.set()


class Answers:
    """Hears what became of requests.

    Attributes:
        responses: in the order in which they came.
    """

    def __init__(self) -> None:
        self.responses: list[InferenceResponse] = []
        self._arrived = threading.Condition()

    def __call__(self, response: InferenceResponse) -> None:
        with self._arrived:
            self.responses.append(response)
            self._arrived.notify_all()

    def wait(self, count: int) -> list[InferenceResponse]:
        """The first `count` responses."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.responses) >= count, 60)
            return self.responses[:count]


def request(value: float = 1, batch_size: int = 1, width: int = 1, **more: object) -> InferenceRequest:
    """A request whose elements all are `value`."""
    array = np.full((batch_size, width), value, np.float32)
    made = InferenceRequest("m", {"X": array}, id=str(value), **more)
    made.batch_size, made.shape_key = batch_size, (("X", (width,)),)
    return made


def no_other(name: str, version: str) -> NoReturn:
    """Finds no model: an ensemble has no steps here."""
    raise NotFoundError(f"no model '{name}' of version '{version}'")


def scheduler(
    more: str,
    *instances: Doubling,
    statistics: InferenceStatistics | None = None,
    gpu: int | None = None,
    config: str = CONFIG,
) -> Scheduler:
    """The scheduler that a configuration asks for."""
    parsed = text_format.Parse(config + more, ModelConfig())
    placed = [PlacedInstance(Placement(f"m_{i}", gpu, 1), instance) for i, instance in enumerate(instances)]
    return scheduler_for(parsed, read_spec(parsed, 1), placed, statistics or InferenceStatistics(), Path(), no_other)


def submit_all(to: Scheduler, requests: Sequence[InferenceRequest], answers: Answers) -> None:
    for item in requests:
        item.reply = answers
        assert to.submit(item)


def taken_at_once(queued: list[int], least: int = 3) -> int:
    """How many of the queued requests are due, by Triton's rule for a preferred size of 3; they are taken out.

    With an hour's delay a batch is due when a prefix is of the preferred size, when the next request would pass it, or when
    the queue holds 3 or more.

    Args:
        queued: batch sizes.
        least: inferences that end the waiting: 1 where nothing is waited for.
    """
    count = 0
    while sum(queued) >= least:
        taken = 0
        while queued and (not taken or taken + queued[0] <= 3):
            taken += queued.pop(0)
            count += 1
    return count


def waiting_for(size: int, limit: int = 8, delay_us: int = HOUR_US, more: str = "") -> str:
    return (
        f"max_batch_size: {limit} dynamic_batching {{ preferred_batch_size: {size} "
        f"max_queue_delay_microseconds: {delay_us} {more} }}"
    )


def held(*instances: Doubling) -> None:
    for instance in instances:
        instance.gate.clear()


def finish(*instances: Doubling) -> None:
    for instance in instances:
        instance.gate.set()


class PutOff(list[Callable[[], None]]):
    """What a scheduler puts off until the caller's turn ends, as a `Later`."""

    call = list.append
    __hash__ = object.__hash__
