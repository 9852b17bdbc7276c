"""Models that share resources, for the tests of the rate limiter."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from scheduled import CONFIG, Answers, Doubling, no_other, request
from tcli_server.backends import Placement, Resource
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import InferenceRequest
from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.choose import scheduler_for
from tcli_server.scheduling.limits.permits import Permits
from tcli_server.scheduling.limits.rate_limiter import RateLimiter
from tcli_server.spec import read_spec
from waiting import until


def place(needs: str = "", priority: int = 1, gpu: int | None = None, name: str = "m_0") -> Placement:
    """Where an instance runs that needs, for example, `R:2 S:1 *G:1`: two of R, one of S, and one of the global G."""
    resources = []
    for need in needs.split():
        label, _, count = need.partition(":")
        resources.append(Resource(label.removeprefix("*"), int(count), label.startswith("*")))
    return Placement(name, gpu, 1, tuple(resources), priority)


def placed(instance: Doubling, needs: str = "", priority: int = 1, gpu: int | None = None) -> PlacedInstance:
    return PlacedInstance(place(needs, priority, gpu), instance)


def limited(limiter: RateLimiter | None, name: str, *instances: PlacedInstance, more: str = "") -> Scheduler:
    """The scheduler of a model called `name`."""
    parsed = text_format.Parse(CONFIG.replace('"m"', f'"{name}"') + more, ModelConfig())
    return scheduler_for(parsed, read_spec(parsed, 1), instances, InferenceStatistics(), Path(), no_other, limiter)


class Turns:
    """Counts and orders the runs of several models.

    Attributes:
        order: names, in the order in which their runs began.
    """

    def __init__(self) -> None:
        self.order: list[str] = []

    def instance(self, name: str) -> Doubling:
        """An instance that notes its runs."""

        def run(inputs: "dict[str, np.ndarray]") -> np.ndarray:
            self.order.append(name)
            return inputs["X"] * 2

        return Doubling(run)


def ask(scheduler: Scheduler, count: int, answers: Answers | None = None, first: int = 1) -> list[InferenceRequest]:
    """Submit `count` requests, of the values `first`, `first + 1`, ..."""
    requests = [request(first + index) for index in range(count)]
    for each in requests:
        each.reply = answers or _ignore
        assert scheduler.submit(each)
    return requests


def _ignore(_: object) -> None:
    pass


def used(limiter: RateLimiter) -> dict[str, int]:
    """`name/device` -> how much of it is held."""
    return {f"{use.name}/{use.device}": use.used for use in limiter.use()}


def waits(limiter: RateLimiter, count: int) -> None:
    """Wait until so many instances wait for permits."""
    until(lambda: len(limiter._waiting) == count)


def end(*schedulers: Scheduler) -> None:
    """Stop schedulers; everything that they took is run."""
    for scheduler in schedulers:
        scheduler.stop()
    for scheduler in schedulers:
        assert scheduler.join(60)


def worker_permit(scheduler: Scheduler, index: int = 0) -> object:
    """The permit of an instance of a model."""
    permits: Permits = scheduler._permits
    return permits[scheduler._workers[index]]


Holder = Callable[[], None]
