"""Judges answers of batches by what their items give alone."""

from collections.abc import Callable, Collection, Sequence

import numpy as np

from tcli_server.trial.items import Item
from tcli_server.trial.rounding import (
    FROM_LESS,
    allowed,
    difference,
    is_off_by_one,
    is_real,
    largest,
    place_of_largest,
)


class MismatchError(Exception):
    """A batch is not what its items are alone; the message says how.

    Attributes:
        output: the output that shows it; empty where the batch fails.
        item: the first item that it shows in; -1 where the batch fails.
    """

    def __init__(self, message: str, output: str = "", item: int = -1) -> None:
        super().__init__(message)
        self.output = output
        self.item = item


class Judge:
    """Knows what each item gives alone.

    Args:
        ignored: outputs that nothing can be said of.

    Attributes:
        worst: the largest difference that was taken for rounding.
    """

    def __init__(self, expected: Sequence[Item], ignored: Collection[str]) -> None:
        self._expected = expected
        self._names = [name for name in expected[0] if name not in ignored]
        self._allowed = {name: _allowed(expected, name) for name in expected[0]}
        self._scale = {name: max(largest(one[name]) for one in expected) for name in expected[0]}
        self._influence: dict[str, dict[str, tuple[float, int]]] = {}
        self.worst = 0.0

    @staticmethod
    def different(expected: Sequence[Item], one: Item, again: Item) -> set[str]:
        """The outputs of two runs of one item that are not the same, beyond rounding."""
        return {
            name for name in one if name not in again or difference(again[name], one[name]) > _allowed(expected, name)
        }

    def check(self, way: str, answers: Sequence[Item], find_influence: Callable[[], None]) -> None:
        """Compare the answers of a batch of the first items.

        Args:
            find_influence: tells `tell_influence` what is needed where only that decides.

        Raises:
            MismatchError: they are not what the items give alone.
        """
        for name in self._names:
            for index, answer in enumerate(answers):
                wanted = self._expected[index][name]
                found = difference(answer[name], wanted, self._scale[name])
                if found <= self._allowed[name]:
                    self.worst = max(self.worst, found)
                    continue
                if (found <= FROM_LESS and is_real(wanted.dtype)) or is_off_by_one(answer[name], wanted):
                    find_influence()
                    if self._influence[way][name][0] <= self._allowed[name] / 10:
                        self.worst = max(self.worst, found if is_real(wanted.dtype) else 0.0)
                        continue
                raise MismatchError(self._words(way, name, index, answer[name], len(answers), found), name, index)

    def knows_influence(self, way: str) -> bool:
        """Whether `tell_influence` was told."""
        return way in self._influence

    def tell_influence(
        self,
        way: str,
        base: Sequence[Item],
        first: Sequence[Item],
        last: Sequence[Item],
        again: Callable[[], Sequence[Item]],
    ) -> None:
        """Take the answers of three batches of one size: one, one that shares only its first item with it, and one that
        shares only its last.

        Args:
            again: runs the first batch once more, where that is needed to tell noise from influence.
        """
        end = len(base) - 1
        found: dict[str, tuple[float, int]] = {}
        for name in self._names:
            scale = self._scale[name]
            of_first = difference(first[0][name], base[0][name], scale)
            of_last = difference(last[end][name], base[end][name], scale)
            found[name] = max((of_first, 0), (of_last, end))
        if any(worst for worst, _ in found.values()):
            second = again()
            for name, (worst, item) in found.items():
                pairs = zip(second, base, strict=True)
                noise = max(difference(one[name], other[name], self._scale[name]) for one, other in pairs)
                found[name] = (worst if worst > 10 * noise else 0.0, item)
        self._influence[way] = found

    def check_influence(self, way: str) -> None:
        """Judge by what was told.

        Raises:
            MismatchError: an item's answer depends on what it shares a batch with.
        """
        for name, (found, item) in self._influence[way].items():
            if found > self._allowed[name]:
                raise MismatchError(
                    f"output '{name}' of an item depends on what it is batched with{way}: it differs by {_share(found)} "
                    f"between two batches, where rounding explains {_share(self._allowed[name])}",
                    name,
                    item,
                )

    def _words(self, way: str, name: str, index: int, got: np.ndarray, size: int, found: float) -> str:
        wanted = self._expected[index][name]
        text = f"output '{name}' for a batch of {size}{way} is not what {size} single items give"
        if got.dtype != wanted.dtype or got.shape != wanted.shape:
            return (
                f"{text}: item {index} gives {got.dtype} {list(got.shape)}, alone {wanted.dtype} {list(wanted.shape)}"
            )
        place = place_of_largest(got, wanted)
        where = f"item {index}, element {list(place)}" if place else f"item {index}"
        most = f" ({_share(found)} of the largest value, rounding explains {_share(self._allowed[name])})"
        return f"{text}: {where} is {_shown(got[place])}, alone {_shown(wanted[place])}" + (
            most if is_real(wanted.dtype) else ""
        )


def _allowed(expected: Sequence[Item], name: str) -> float:
    answers = [one[name] for one in expected]
    return allowed(answers)


def _share(part: float) -> str:
    if not np.isfinite(part):
        return "infinitely much"
    return f"{100 * part:.2g} %" if part < 0.1 else f"{100 * part:,.0f} %"


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        return repr(text if len(text) <= 40 else f"{text[:40]}...")
    number = getattr(value, "item", lambda: value)()
    return f"{number:.6g}" if isinstance(number, float) else str(number)
