"""Models that share resources, for the tests of the rate limiter."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

import onnx_models
from repositories import write_model
from scheduled import CONFIG, Answers, Doubling, no_other, request
from tcli_server import Engine
from tcli_server.backends import Placement, Resource
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import InferenceRequest
from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.choose import scheduler_for
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


def limited(
    limiter: RateLimiter | None, name: str, *instances: PlacedInstance, more: str = "", config: str = CONFIG
) -> Scheduler:
    """The scheduler of a model called `name`."""
    parsed = text_format.Parse(config.replace('"m"', f'"{name}"') + more, ModelConfig())
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


class Gate:
    """Holds the runs of a loaded model's first instance until `open`; it is open at first.

    Attributes:
        entered: released once for each run that has begun.
    """

    def __init__(self, engine: Engine, model: str) -> None:
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()
        self._open.set()
        instance = engine.model(model).instances[0].instance
        run = instance.run

        def held(inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
            self.entered.release()
            assert self._open.wait(60)
            return run(inputs, outputs)

        instance.run = held

    def close(self) -> None:
        """Let no run end."""
        self._open.clear()

    def open(self) -> None:
        """Let runs end."""
        self._open.set()

    def begun(self) -> None:
        """Wait until a run has begun."""
        assert self.entered.acquire(timeout=60)


def limited_config(*groups: str, more: str = "") -> str:
    """The configuration of `identity` with instance groups on the CPU, each given as what its `rate_limiter` has."""
    listed = "".join(f"instance_group {{ kind: KIND_CPU count: 1 rate_limiter {{ {group} }} }}\n" for group in groups)
    return f'backend: "onnxruntime"\nmax_batch_size: 4\n{listed}{more}'


def write_limited(repository: Path, name: str, *groups: str, more: str = "") -> Path:
    """A model of that configuration."""
    return write_model(repository, name, onnx_models.identity(), limited_config(*groups, more=more))


def resource(name: str, count: int, *, everywhere: bool = False) -> str:
    """One of `rate_limiter`'s resources."""
    return f'resources [ {{ name: "{name}" {"global: true " if everywhere else ""}count: {count} }} ] '
