"""A bench that keeps every window, and gives again what an earlier run has measured."""

from collections import defaultdict, deque
from collections.abc import Sequence

from tcli_analyzer.bench import Bench, CannotMeasureError
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.journal import Journal, Origin, Record
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window

FINAL = "final"
"""The stage in which configurations are measured in turn: what they are compared by is of the same minutes."""


class JournaledBench:
    """Answers from the journal while that has answers, then from the bench below.

    What is measured next follows from what was measured, so an analysis that is begun anew asks the same again, and comes to the
    place where it was cut off within a moment. What failed is tried again: the machine had no memory for it, perhaps, and has now.

    Attributes:
        stage: what is measured for; written beside each window.
        resumed: windows that came from the journal.
    """

    def __init__(self, bench: Bench, journal: Journal) -> None:
        self._bench = bench
        self._journal = journal
        self._earlier: dict[tuple[str, str, str, int, int], deque[Record]] = defaultdict(deque)
        self._failed: set[tuple[str, str, str, int, int]] = set()
        self.stage = ""
        self.resumed = 0
        for record in journal.records:
            if record.failure:
                self._failed.add(record.origin.key)
            else:
                self._failed.discard(record.origin.key)
                self._earlier[record.origin.key].append(record)

    def hold(self, configurations: Sequence[Configuration]) -> None:
        self._bench.hold(configurations)

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:
        origin = Origin(configuration.label, load.label, self.stage, options.items, options.windows)
        earlier = self._earlier[origin.key]
        if earlier:
            record = earlier.popleft()
            self.resumed += len(record.windows)
            return list(record.windows)
        try:
            windows = self._bench.visit(configuration, load, options)
        except CannotMeasureError as error:
            self._journal.add(Record(origin, (), str(error)))
            raise
        self._journal.add(Record(origin, tuple(windows)))
        if origin.key in self._failed:
            self._race_anew()
        return windows

    def _race_anew(self) -> None:
        """Those that were measured in turn before did not have it among them."""
        self._failed.clear()
        for key in [key for key in self._earlier if key[2] == FINAL]:
            del self._earlier[key]
