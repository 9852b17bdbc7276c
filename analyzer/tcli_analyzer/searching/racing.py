"""Racing: everything is measured shortly, the worse half drops out, the rest is measured for longer, and so on."""

from collections.abc import Sequence

from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.searching.field import Field, Spot
from tcli_analyzer.searching.points import Points, in_visiting_order
from tcli_analyzer.searching.progress import Progress
from tcli_analyzer.searching.visits import Visits

_FIRST_WINDOWS = 1
_MOST_WINDOWS = 8
_SECONDS = 0.5
_FIRST_ROUND_SHARE = 0.6
"""Of the time left, for the round in which all take part."""

_HELD = 4
"""Configurations that stay loaded between rounds."""


def race_down(
    field: Field,
    visits: Visits,
    points: Points,
    spots: Sequence[Spot],
    rate: float,
    progress: Progress,
) -> None:
    """Measure into `points` until as few are left as leaders are wanted, or the time is over.

    Args:
        spots: best guess first: where the time does not suffice for all, the last are left out, but never the current
            configuration's first.
        rate: requests per second, about; says what fits into the time.

    Raises:
        Ended: whoever watches wants it.
        Stopped: as of the bench.
    """
    alive = _fitting(visits, spots, rate)
    wanted = max(2, field.rivals + 1)
    windows, number = _FIRST_WINDOWS, 0
    while alive:
        configurations = list(dict.fromkeys(spot.configuration for spot in alive))
        visits.bench.hold(configurations if len(configurations) <= _HELD else ())
        options = VisitOptions(windows=windows, seconds=_SECONDS, requests=1, items=field.items)
        order = in_visiting_order(alive, number)
        later = _later_rounds(visits, len(alive), windows, wanted, order[0], rate)
        for position, spot in enumerate(order):
            if number and visits.seconds_left <= 0:
                return
            left = later + sum(visits.cost(each.load, options, rate) for each in order[position:])
            progress.begin(spot.label, min(left, visits.seconds_left))
            found = visits.measure(spot.configuration, spot.load, options, tries=2)
            if found:
                progress.done(points.add(spot, found), min(left, visits.seconds_left))
        alive = [spot for spot in alive if spot in points.windows]
        if len(alive) <= wanted or windows >= _MOST_WINDOWS:
            return
        ranked = sorted(alive, key=points.score, reverse=True)
        alive = ranked[: max(wanted, len(ranked) // 2)]
        windows, number = windows * 2, number + 1


def _later_rounds(visits: Visits, count: int, windows: int, wanted: int, usual: Spot, rate: float) -> float:
    """Seconds of the rounds after one of so many spots."""
    seconds = 0.0
    while count > wanted and windows < _MOST_WINDOWS:
        count, windows = max(wanted, count // 2), windows * 2
        seconds += count * visits.cost(usual.load, VisitOptions(windows=windows, seconds=_SECONDS, requests=1), rate)
    return seconds


def _fitting(visits: Visits, spots: Sequence[Spot], rate: float) -> list[Spot]:
    """As many as the first round has time for."""
    allowed = max(0.0, visits.seconds_left) * _FIRST_ROUND_SHARE
    options = VisitOptions(windows=_FIRST_WINDOWS, seconds=_SECONDS, requests=1)
    own = next((spot for spot in spots if spot.configuration.current), None)
    order = [own, *(spot for spot in spots if spot is not own)] if own is not None else list(spots)
    taken: list[Spot] = []
    for spot in order:
        allowed -= visits.cost(spot.load, options, rate)
        if allowed < 0 and len(taken) >= 2:
            break
        taken.append(spot)
    return taken
