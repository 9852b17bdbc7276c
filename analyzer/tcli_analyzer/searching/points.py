"""Collects what a search measures, point by point."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.point import Point
from tcli_analyzer.searching.field import Field, Spot

Score = tuple[float, float]
"""Of a point, larger is better: first whether it keeps the budget, then its value."""


class Points:
    """Of one field.

    Attributes:
        windows: of each spot that was measured.
    """

    def __init__(self, field: Field) -> None:
        self._field = field
        self.windows: dict[Spot, list[Window]] = {}

    def add(self, spot: Spot, windows: Iterable[Window]) -> Point:
        """Windows of a spot, together with those that it has."""
        self.windows.setdefault(spot, []).extend(windows)
        return self.point(spot)

    def point(self, spot: Spot) -> Point:
        return Point(spot.configuration, spot.load, Windows(tuple(self.windows[spot])), spot.same)

    @property
    def all(self) -> list[Point]:
        """In the order in which they were first measured."""
        return [self.point(spot) for spot in self.windows]

    def score(self, spot: Spot) -> Score:
        """By what was measured alone: the median of the windows, which one unlucky window does not move."""
        point = self.point(spot)
        value = median(self._field.value(Windows([window])) for window in point.measured.windows)
        kept = self._field.is_kept(point.measured)
        return kept_score(kept if kept or point.is_clean else None), value

    def leaders(self, score: Callable[[Spot], Score]) -> list[Point]:
        """The best point of each configuration but the current one, as many as are wanted, best first; none that has a flaw."""
        best: dict[object, Spot] = {}
        for spot in sorted(self.windows, key=lambda one: (not self.point(one).flaw, score(one)), reverse=True):
            best.setdefault(spot.configuration, spot)
        others = [spot for spot in best.values() if not spot.configuration.current and not self.point(spot).flaw]
        return [self.point(spot) for spot in others[: self._field.rivals]]

    def current(self, score: Callable[[Spot], Score]) -> Point | None:
        """The current configuration's best point."""
        own = [spot for spot in self.windows if spot.configuration.current]
        return self.point(max(own, key=score)) if own else None


def kept_score(kept: bool | None) -> float:
    """What cannot be told is between."""
    return 0.5 if kept is None else float(kept)


def in_visiting_order(spots: Sequence[Spot], round_number: int) -> list[Spot]:
    """Each configuration's spots together, as it is loaded once for them; turned round every other round, so that drift falls on all."""
    together: dict[object, list[Spot]] = {}
    for spot in spots:
        together.setdefault(spot.configuration, []).append(spot)
    order = [spot for group in together.values() for spot in group]
    return order if round_number % 2 == 0 else order[::-1]
