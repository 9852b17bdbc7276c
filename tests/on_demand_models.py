"""Engines that load on demand, and models whose loading a test can hold up."""

import contextlib
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import onnx_models
from repositories import states, write_model
from tcli_server import Engine, EngineOptions, InferenceRequest, InferenceResponse
from tcli_server.models.on_demand import OnDemand
from tcli_server.models.on_demand_options import OnDemandOptions
from tcli_server.models.tallies import Tally

ROW = {"INPUT0": np.ones((1, 4), np.float32)}
MIB = 1 << 20


def options(*load_models: str, **on_demand: Any) -> EngineOptions:
    """With these fields of `OnDemandOptions`."""
    return EngineOptions(
        model_control_mode="on-demand", load_models=load_models, on_demand=OnDemandOptions(**on_demand)
    )


def write_identities(repository: Path, *names: str, config: str | None = None) -> None:
    """Models that give back their input, any number of rows of 4 floats."""
    for name in names:
        write_model(repository, name, onnx_models.identity(), config)


def write_weights(repository: Path, *names: str, mib: float = 16) -> None:
    """Models m<n> that give n, and hold so many MiB of it."""
    for name in names:
        number = float(name.removeprefix("m"))
        write_model(repository, name, onnx_models.table(np.full((int(mib * MIB / 4),), number, np.float32)))


def ask_weights(engine: Engine, name: str) -> None:
    """Ask one of them."""
    (output,) = engine.infer(name, {"INPUT0": np.full(1, 1000, np.float32)}).outputs.values()
    assert output.tolist() == [float(name.removeprefix("m"))]


def on_demand(engine: Engine) -> OnDemand:
    """What loads its models."""
    assert isinstance(engine.demand, OnDemand)
    return engine.demand


def tally(engine: Engine, name: str) -> Tally:
    """What was counted of a model's loads."""
    return dict(on_demand(engine).tallies.by_name()).get(name, Tally())


def loaded(engine: Engine) -> set[str]:
    """The models that answer now."""
    return {name.split("/")[0] for name, state in states(engine).items() if state == "READY"}


@contextlib.contextmanager
def held_up(engine: Engine, *names: str) -> Iterator[None]:
    """Let nothing happen to these models meanwhile: no load of them begins."""
    gate = threading.Event()

    def hold(entered: threading.Event) -> None:
        entered.set()
        assert gate.wait(60)

    for name in names:
        entered = threading.Event()
        engine._control.operations.unload(name, lambda entered=entered: hold(entered))
        assert entered.wait(60)
    try:
        yield
    finally:
        gate.set()


class Asked:
    """A request that was submitted, and its answer."""

    def __init__(self, engine: Engine, name: str, inputs: dict[str, np.ndarray] | None = None, **fields: Any) -> None:
        self._answers: queue.SimpleQueue[InferenceResponse] = queue.SimpleQueue()
        self.request = InferenceRequest(
            name, dict(ROW if inputs is None else inputs), reply=self._answers.put, **fields
        )
        engine.submit(self.request)

    def answer(self) -> InferenceResponse:
        """The answer, when it is there."""
        return self._answers.get(timeout=60)

    def error(self) -> str:
        """The kind and the message of the error that it is."""
        error = self.answer().error
        assert error is not None
        return f"{error.kind.name}: {error}"

    @property
    def answered(self) -> bool:
        return not self._answers.empty()
