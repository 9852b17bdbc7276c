"""A bench for several models that keeps every window, and gives again what an earlier run has measured."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from tcli_analyzer.bench.together import CannotMeasureTogetherError, TogetherBench
from tcli_analyzer.journal import Journal, Origin, Record
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.together.arrangement import Arrangement
from tcli_analyzer.together.window import JointWindow, joined

STAGE = "together"


class JournaledTogetherBench:
    """As `JournaledBench`, for arrangements.

    Attributes:
        resumed: windows that came from the journal.
    """

    def __init__(self, bench: TogetherBench, journal: Journal) -> None:
        self._bench = bench
        self._journal = journal
        self._earlier: dict[object, deque[Record]] = defaultdict(deque)
        self._failed: set[object] = set()
        self.resumed = 0
        for record in journal.records:
            if record.origin.stage != STAGE:
                continue
            if record.failure:
                self._failed.add(record.origin.key)
            else:
                self._failed.discard(record.origin.key)
                self._earlier[record.origin.key].append(record)

    def hold(self, arrangements: Sequence[Arrangement]) -> None:
        self._bench.hold(arrangements)

    def visit(self, arrangement: Arrangement, options: VisitOptions) -> list[JointWindow]:
        origin = Origin(arrangement.label, "", STAGE, 0, options.windows)
        earlier = self._earlier[origin.key]
        if earlier:
            windows = _joint(earlier.popleft().windows, arrangement)
            self.resumed += len(windows)
            return windows
        try:
            windows = self._bench.visit(arrangement, options)
        except CannotMeasureTogetherError as error:
            self._journal.add(Record(origin, (), str(error)))
            raise
        self._journal.add(Record(origin, tuple(_plain(windows, arrangement))))
        if origin.key in self._failed:  # what was measured in turn later on was without it
            self._failed.clear()
            self._earlier.clear()
        return windows


def _plain(windows: Sequence[JointWindow], arrangement: Arrangement) -> list[Window]:
    """Of each, what is known of all together, and then its parts."""
    found: list[Window] = []
    for window in windows:
        values = {one.name: getattr(window, one.name) for one in fields(Window)}
        found.append(replace(Window(**values), latencies_ms=np.empty(0)))
        found += [window.parts[choice.model] for choice in arrangement.choices]
    return found


def _joint(windows: Sequence[Window], arrangement: Arrangement) -> list[JointWindow]:
    models = [choice.model for choice in arrangement.choices]
    step = 1 + len(models)
    return [
        joined(dict(zip(models, windows[place + 1 : place + step], strict=True)), windows[place].processor)
        for place in range(0, len(windows), step)
    ]
