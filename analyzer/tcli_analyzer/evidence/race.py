"""Finalists against the configuration of today: measured in turn, compared in pairs, for as long as it takes to tell.

Rounds go A B, B A, A B, ...: what drifts falls on all alike. Only pairs count of which both windows are clean, as a neighbour slows one
configuration down twofold and another ninefold: neither pairs nor medians cure that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tcli_analyzer.evidence.disturbance import Disturbance
from tcli_analyzer.evidence.pairs import LEAST_PAIRS, MOST_PAIRS, TIE, Comparison, Verdict, compare
from tcli_analyzer.measuring.window import Window

REPEATS = 2
"""How often a disturbed window is measured again at once, before the race comes back to it a round later."""

_MOST_DISTURBED_ROUNDS = 3
"""Rounds for each pair that may be needed, beside those that a race may have: a machine that is always busy ends it."""


@dataclass(frozen=True, slots=True)
class Contender:
    """What takes part.

    Attributes:
        measure: makes one window of it.
    """

    name: str
    measure: Callable[[int], Window]


@dataclass
class Race:
    """What came out.

    Attributes:
        comparisons: of each rival with the first contender.
        windows: of each contender, round by round, disturbed ones among them.
        latest: of each round, each contender's last window.
    """

    comparisons: dict[str, Comparison] = field(default_factory=dict)
    windows: dict[str, list[Window]] = field(default_factory=dict)
    latest: list[dict[str, Window]] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """How many were run."""
        return len(self.latest)

    def ratios(self, one: str, other: str, value: Callable[[Window], float]) -> list[float]:
        """Of each round in which both had a clean window without a flaw, and answered, the one's value over the other's."""
        pairs = [(windows[one], windows[other]) for windows in self.latest]
        sound = [(value(a), value(b)) for a, b in pairs if a.is_clean and b.is_clean and not a.flaw and not b.flaw]
        return [a / b for a, b in sound if a > 0 and b > 0]

    @property
    def dropped(self) -> int:
        """Windows that count for nothing, as others disturbed them."""
        return sum(not window.is_clean for windows in self.windows.values() for window in windows)

    @property
    def total(self) -> int:
        """All windows."""
        return sum(map(len, self.windows.values()))

    @property
    def is_decided(self) -> bool:
        """Whether more rounds would tell nothing new."""
        return all(comparison.decided for comparison in self.comparisons.values())

    def without(self, name: str) -> "Race":
        """As if this contender had not taken part, to be gone on with: the pairs of the others stay what they are."""
        return Race(
            windows={other: windows for other, windows in self.windows.items() if other != name},
            latest=[{other: window for other, window in row.items() if other != name} for row in self.latest],
        )


def race(
    contenders: Sequence[Contender],
    value: Callable[[Window], float],
    watch: Callable[[Race], bool],
    tie: float = TIE,
    found: Race | None = None,
) -> Race:
    """Run rounds until every rival is better, worse or equal, or cannot be told apart in the rounds that there are.

    Args:
        contenders: the first is what the others are compared with; names differ.
        value: of a window, above 0, where more is better.
        watch: told after each round how it stands; says whether to go on.
        tie: relative differences up to this are none that matters.
        found: filled as the race goes on; what is there until `measure` raises stays there. Rounds that it has already, of
            these contenders, count.

    Raises:
        Whatever `measure` raises.
    """
    found = found if found is not None else Race()
    for contender in contenders:
        found.windows.setdefault(contender.name, [])
    first, *rivals = contenders
    ratios = _compared(found, first, rivals, value, tie)
    while not _is_over(found, ratios):
        order = contenders if found.rounds % 2 == 0 else list(reversed(contenders))
        latest = {contender.name: _measured(contender, found, found.rounds) for contender in order}
        found.latest.append(latest)
        ratios = _compared(found, first, rivals, value, tie)
        if not watch(found):
            break
    return found


def _compared(
    found: Race, first: Contender, rivals: Sequence[Contender], value: Callable[[Window], float], tie: float
) -> dict[str, list[float]]:
    """Each rival's ratios, by which it is compared with the first anew, once there is a round."""
    ratios = {rival.name: found.ratios(rival.name, first.name, value) for rival in rivals}
    if found.latest:
        unobserved = any(window.disturbance is Disturbance.UNOBSERVED for window in found.latest[-1].values())
        found.comparisons = {name: compare(values, len(rivals), tie, unobserved) for name, values in ratios.items()}
    return ratios


def _measured(contender: Contender, found: Race, number: int) -> Window:
    """A window, a clean one if there soon is one."""
    for _ in range(1 + REPEATS):
        window = contender.measure(number)
        found.windows[contender.name].append(window)
        if window.is_clean:
            break
    return window


def _is_over(found: Race, ratios: Mapping[str, Sequence[float]]) -> bool:
    if not ratios:  # alone: to know its own speed
        clean = sum(window.is_clean for windows in found.windows.values() for window in windows)
        return clean >= LEAST_PAIRS or found.rounds >= _MOST_DISTURBED_ROUNDS * LEAST_PAIRS
    if found.rounds >= LEAST_PAIRS and found.is_decided:
        return True
    if found.rounds >= MOST_PAIRS + _MOST_DISTURBED_ROUNDS * LEAST_PAIRS:
        return True
    open_ones = [name for name, comparison in found.comparisons.items() if comparison.verdict is Verdict.UNDECIDED]
    return bool(found.comparisons) and all(len(ratios[name]) >= MOST_PAIRS for name in open_ones)
