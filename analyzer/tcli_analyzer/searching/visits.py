"""Visits points for a search: within its time, with another try where others disturbed, counting what it costs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tcli_analyzer.bench import Bench, CannotMeasureError
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.searching.found import Failure

Clock = Callable[[], float]

REPEATS = 2
"""How often a disturbed visit is made again at once."""

_REPEATED_SHARE = 0.35
"""Of the search's time that may go into repeated visits: on a machine that is never quiet all would be."""

_ROOM = 3
"""Visits of the same kind that must still fit into the search's time for one to be made again."""

_USUAL_OVERHEAD = 1.0
"""Seconds that a visit takes beside its windows, before that is known: a process starts and loads the model."""


class Ended(Exception):  # noqa: N818 - not an error
    """Whoever watches wants the search to end."""


@dataclass
class Visits:
    """The only way in which a search measures.

    Args:
        goes_on: asked before each visit.
        seconds: that the whole search should take.
        items: inferences in a request.

    Attributes:
        failures: what could not be measured.
        count: windows measured.
        load_seconds: their length together.
        dirty: visits that ended without a clean window.
    """

    bench: Bench
    goes_on: Callable[[], bool]
    seconds: float
    items: int = 1
    clock: Clock = time.monotonic
    failures: list[Failure] = field(default_factory=list)
    count: int = 0
    load_seconds: float = 0.0
    dirty: int = 0
    _failed: set[Configuration] = field(default_factory=set)
    _repeated: float = 0.0
    _visited: float = 0.0
    _overheads: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def spent(self) -> float:
        """Seconds of the search so far. What a journal answers counts as when it was made, so that the search goes the same way."""
        return max(self._visited, self.clock() - self._began)

    @property
    def seconds_left(self) -> float:
        """Of the search's time."""
        return self.seconds - self.spent

    @property
    def overhead(self) -> float:
        """Seconds that a visit takes beside its windows and warm-up, on average."""
        return sum(self._overheads) / len(self._overheads) if self._overheads else _USUAL_OVERHEAD

    def has_failed(self, configuration: Configuration) -> bool:
        """Whether it could not be measured before: then it is not tried again."""
        return configuration in self._failed

    def measure(
        self, configuration: Configuration, load: Load, options: VisitOptions, tries: int = 1 + REPEATS
    ) -> list[Window]:
        """Windows, the disturbed ones of earlier tries among them; none if it cannot be measured, which is a failure then.

        Raises:
            Ended: it should end.
            Stopped: as of the bench.
        """
        windows: list[Window] = []
        while tries > 0:
            tries -= 1
            if not self.goes_on():
                raise Ended
            before = self.clock()
            try:
                found = self.bench.visit(configuration, load, options)
            except CannotMeasureError as error:
                if not windows:
                    self.failures.append(Failure(configuration, load, str(error)))
                    self._failed.add(configuration)
                return windows
            cost = self._account(found, options, self.clock() - before)
            self._repeated += cost if windows else 0.0
            windows += found
            is_scarce = self._repeated > _REPEATED_SHARE * self.seconds or self.seconds_left < _ROOM * cost
            if is_scarce or any(window.is_clean for window in found):
                break
        self.dirty += not any(window.is_clean for window in windows)
        return windows

    def _account(self, found: Sequence[Window], options: VisitOptions, took: float) -> float:
        loaded = sum(window.seconds for window in found)
        cost = max(took, loaded)
        self.count += len(found)
        self.load_seconds += loaded
        self._visited += cost
        self._overheads.append(max(0.0, took - loaded - options.warm_up_seconds))
        return cost

    def cost(self, load: Load, options: VisitOptions, rate: float) -> float:
        """Seconds that a visit will take, where so many requests are answered each second."""
        outstanding = load.concurrency if isinstance(load, ClosedLoad) else 1
        longest = options.seconds * options.longest
        window = min(longest, max(options.seconds, max(options.requests, outstanding) / rate))
        warm_up = min(4 * options.warm_up_seconds, max(options.warm_up_seconds, 2 * outstanding / rate))
        return options.windows * window + warm_up + self.overhead


def point_options(rate: float, items: int, windows: int = 2) -> VisitOptions:
    """A visit that is long enough to tell differences: windows of about 40 requests that end with whole batches.

    Args:
        rate: requests per second expected.
    """
    seconds = min(4.0, max(0.5, 40 / max(rate, 1e-6)))
    return VisitOptions(windows=windows, seconds=round(seconds, 2), requests=1, warm_up_seconds=0.25, items=items)
