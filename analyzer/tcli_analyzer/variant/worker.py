"""The process in which one variant is loaded and measured."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.inputs import Inputs
from tcli_analyzer.measuring.held import HeldLoad
from tcli_analyzer.measuring.limit import measure_limit
from tcli_analyzer.measuring.visit import visit
from tcli_analyzer.target import EngineTarget
from tcli_analyzer.variant.answering import answer_all
from tcli_analyzer.variant.messages import (
    AskProgress,
    CutWindow,
    EndLoad,
    LoadModel,
    MakeRequests,
    MeasureLimit,
    Message,
    StartLoad,
)
from tcli_server.apart import begin_apart

_LIMIT_SECONDS = 0.15
"""Of load against nothing, of each kind."""


def main() -> None:
    """Serve what comes on the standard input, until that ends; the repository and the model are arguments."""
    answers = begin_apart()
    repository, model = sys.argv[2:]
    answer_all(lambda: _begun(Path(repository), model), answers)


@contextmanager
def _begun(repository: Path, model: str) -> "Iterator[_Worker]":
    with EngineTarget(repository, model) as target:
        yield _Worker(target)


class _Worker:
    def __init__(self, target: EngineTarget) -> None:
        self._target = target
        self._config = ModelConfig()
        self._requests: Sequence[Inputs] = ()
        self._held: HeldLoad | None = None

    def answer(self, message: Message) -> Any:
        if isinstance(message, LoadModel):
            wanted = ModelConfig.FromString(message.config) if message.config is not None else None
            self._config = self._target.load(wanted)
            return self._config.SerializeToString()
        if isinstance(message, MakeRequests):
            self._requests = message.source.make(self._config, message.items)
            return len(self._requests)
        if isinstance(message, StartLoad | AskProgress | CutWindow | EndLoad):
            return self._hold(message)
        if isinstance(message, MeasureLimit):
            return measure_limit(self._requests, seconds=_LIMIT_SECONDS)
        pids = [os.getpid(), *_children()]
        return visit(self._target, self._requests, message.load, message.options, threading.Event(), pids)

    def _hold(self, message: StartLoad | AskProgress | CutWindow | EndLoad) -> Any:
        """A load that goes on while others are measured."""
        if isinstance(message, StartLoad):
            self._held = HeldLoad(self._target, self._requests, message.load, message.items)
            self._held.__enter__()
            return [os.getpid(), *_children()]
        held = self._held
        assert held is not None
        if isinstance(message, AskProgress):
            return held.progress()
        if isinstance(message, CutWindow):
            return held.cut(message.at_ns)
        self._held = None
        held.__exit__(None, None, None)
        return True


def _children() -> list[int]:
    """Processes that the model started, whose processor time is its own."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return [child.pid for child in psutil.Process().children(recursive=True)]
    return []
