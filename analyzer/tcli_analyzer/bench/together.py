"""Where several models are loaded and put under load at the same time: each in a process of its own on this machine."""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter_ns
from typing import Protocol

from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.bench.quiet import Quiet
from tcli_analyzer.evidence.disturbance import ProcessorMeter, ProcessorTime
from tcli_analyzer.evidence.neighbours import Neighbours
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.flaws import judged
from tcli_analyzer.measuring.held import Progress
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.together.arrangement import Arrangement, Choice
from tcli_analyzer.together.window import JointWindow, join, joined
from tcli_analyzer.variant import Variant

_POLL_SECONDS = 0.02


class CannotMeasureTogetherError(CannotMeasureError):
    """One of the models does not load or run like this; the message is the reason.

    Attributes:
        choice: that model's.
    """

    def __init__(self, choice: Choice, reason: str) -> None:
        super().__init__(reason)
        self.choice = choice


class TogetherBench(Protocol):
    """Several models, in one of many arrangements at a time."""

    def visit(self, arrangement: Arrangement, options: VisitOptions) -> list[JointWindow]:
        """Load what is not loaded, and measure all models in the same windows.

        Args:
            options: of the windows; `requests` are those of each model. `items` says nothing here: each choice has its own.

        Raises:
            CannotMeasureTogetherError: one of the models cannot be measured.
            Stopped: the user asked to stop.
        """

    def hold(self, arrangements: Sequence[Arrangement]) -> None:
        """As `Bench.hold`."""


class LocalTogetherBench:
    """Uses the benches of the models, which the caller enters and leaves.

    Args:
        benches: of each model.
        patience_seconds, stretch: as of `WatchedBench`.

    Attributes:
        neighbours: who used the processor while windows were disturbed.
    """

    def __init__(
        self,
        benches: Mapping[str, LocalBench],
        stop: threading.Event,
        patience_seconds: float = 0.0,
        stretch: float = 1.0,
    ) -> None:
        self._benches = benches
        self._stop = stop
        self._quiet = Quiet(stop, patience_seconds)
        self._stretch = stretch
        self.neighbours = Neighbours()

    def hold(self, arrangements: Sequence[Arrangement]) -> None:
        for model, bench in self._benches.items():
            bench.hold(list(dict.fromkeys(one.of(model).configuration for one in arrangements)))

    def visit(self, arrangement: Arrangement, options: VisitOptions) -> list[JointWindow]:
        variants: dict[Choice, Variant] = {}
        for choice in arrangement.choices:
            with self._blaming(choice):
                variants[choice] = self._benches[choice.model].ready(choice.configuration, choice.items)
        self._quiet.wait()
        self.neighbours.look(counts=False)
        with ExitStack() as loads:
            pids = {}
            for choice, variant in variants.items():
                with self._blaming(choice):
                    pids[choice.model] = variant.start_load(choice.load, choice.items)
                loads.enter_context(self._ending(choice, variant))
            windows = self._measure(variants, pids, options)
        self.neighbours.look(counts=any(not window.is_clean for window in windows))
        for choice in arrangement.choices:
            self._benches[choice.model].measured(
                choice.configuration, [window.parts[choice.model] for window in windows]
            )
        return windows

    def _measure(
        self, variants: Mapping[Choice, Variant], pids: Mapping[str, list[int]], options: VisitOptions
    ) -> list[JointWindow]:
        meters = _Meters(pids)
        warm_up, seconds = options.warm_up_seconds * self._stretch, options.seconds * self._stretch
        outstanding = {choice: _outstanding(choice) for choice in variants}
        self._wait(variants, meters, warm_up, {one: 2 * count for one, count in outstanding.items()}, 4 * warm_up)
        self._cut(variants, meters)
        enough = {one: max(options.requests, count) for one, count in outstanding.items()}
        found: list[JointWindow] = []
        while len(found) < options.windows:
            is_over = self._wait(variants, meters, seconds, enough, seconds * options.longest)
            found.append(self._cut(variants, meters))
            if is_over:
                break
        return found

    def _wait(
        self,
        variants: Mapping[Choice, Variant],
        meters: "_Meters",
        seconds: float,
        enough: Mapping[Choice, int],
        longest: float,
    ) -> bool:
        """For so long, and so many answers of each model, or `longest` and one answer of each.

        Returns:
            Whether one of the loads is over.
        """
        began = time.monotonic()
        while True:
            taken = time.monotonic() - began
            if taken >= seconds:
                progress = {choice: self._asked(choice, variant) for choice, variant in variants.items()}
                if any(one.is_over for one in progress.values()):
                    return True
                if all(one.answers >= enough[choice] for choice, one in progress.items()):
                    return False
                if taken >= longest and all(one.answers for one in progress.values()):
                    return False
            if self._stop.wait(_POLL_SECONDS):
                raise Stopped
            meters.sample()

    def _asked(self, choice: Choice, variant: Variant) -> Progress:
        with self._blaming(choice):
            variant.check_memory()
            return variant.progress()

    def _cut(self, variants: Mapping[Choice, Variant], meters: "_Meters") -> JointWindow:
        now = perf_counter_ns()
        times = meters.take()
        parts = {}
        for choice, variant in variants.items():
            with self._blaming(choice):
                parts[choice.model] = variant.cut_window(now)
        joint = join(parts, *times)
        seen = {
            choice.model: judged([joint.parts[choice.model]], choice.load, self._benches[choice.model].limit)[0]
            for choice in variants
        }
        return joined(seen, joint.processor)

    @contextmanager
    def _ending(self, choice: Choice, variant: Variant) -> Iterator[None]:
        """Ends a load, unless its process is what failed."""
        try:
            yield
        finally:
            if self._benches[choice.model].is_loaded(choice.configuration):
                with self._blaming(choice):
                    variant.end_load()

    @contextmanager
    def _blaming(self, choice: Choice) -> Iterator[None]:
        try:
            with self._benches[choice.model].blamed(choice.configuration):
                yield
        except CannotMeasureTogetherError:
            raise
        except CannotMeasureError as error:
            raise CannotMeasureTogetherError(choice, str(error)) from None


class _Meters:
    """Of the processor time of each model's processes, and of this one."""

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        possible = ProcessorMeter.is_possible()
        self._of = {model: ProcessorMeter(each) for model, each in pids.items()} if possible else {}
        self._own = ProcessorMeter([os.getpid()]) if possible else None

    def sample(self) -> None:
        for meter in [*self._of.values(), *([self._own] if self._own is not None else [])]:
            meter.sample()

    def take(self) -> tuple[dict[str, ProcessorTime], ProcessorTime | None]:
        """Each model's, and this process's."""
        return {model: meter.take() for model, meter in self._of.items()}, self._own.take() if self._own else None


def _outstanding(choice: Choice) -> int:
    return choice.load.concurrency if isinstance(choice.load, ClosedLoad) else 1
