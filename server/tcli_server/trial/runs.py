"""Runs items alone and together, and judges."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product

from tcli_server.trial.items import (
    LIKELY_SIZES,
    Item,
    TrialInput,
    random_items,
    shapes_with,
    values_for,
)
from tcli_server.trial.judging import Judge, MismatchError
from tcli_server.trial.rounding import apart, tolerance
from tcli_server.trial.verdict import Verdict, unchecked

Alone = Callable[[Item], Item]
"""Runs one item; raises RunError."""

Together = Callable[[Sequence[Item]], Sequence[Item]]
"""Runs items as one batch, and gives each its share of the outputs; raises RunError."""

_ALIKE_TRIES = 3
_COMPANIONS = 3
"""Items of the batches that tell whether an item's answer depends on the others."""

_MOST_RERUNS = 4
_LEAST_RUNS = 16
"""Items that are run at least, in batches or alone, until there is a verdict."""

_LONGEST_REASON = 500


class RunError(Exception):
    """These items do not run; the message says why."""


class LostBatchError(RunError):
    """They run, but what comes back has not a row an item."""


def try_batches(
    inputs: Sequence[TrialInput],
    alone: Alone,
    together: Mapping[str, Together],
    sizes: Sequence[int],
    seconds: float = float("inf"),
) -> Verdict:
    """Compare batches with what their items give alone.

    Args:
        together: the ways in which items become a batch, by how that is called in a sentence ("" for the usual one).
        sizes: of the batches to run, in items, each 2 or more; fewer of them where the model is slow.
        seconds: about so long at most.
    """
    end = time.monotonic() + seconds
    most = max(sizes)
    found = _telling_items(inputs, alone, max(most, 2 * min(most, _COMPANIONS) - 1), end)
    if isinstance(found, Verdict):
        return found
    items, took = found
    verdict = _Trial(alone, together, items, took, end).judge(sizes)
    if verdict.outcome != "ok":
        return verdict
    if not _tell_items_apart([answer for _, answer in items]):  # a batch that differs would have been seen all the same
        return unchecked("the answers to different random inputs are the same, so batches cannot be checked")
    other = _other_shapes(inputs, items[0][0], alone, end)
    if other is not None:
        second = _Trial(alone, together, *other, end).judge(tuple(size for size in sizes if size <= _COMPANIONS))
        if second.outcome == "wrong":
            return second
    return verdict


def try_items(
    answered: Sequence[tuple[Item, Item]],
    alone: Alone,
    together: Mapping[str, Together],
    sizes: Sequence[int],
    seconds: float = float("inf"),
) -> Verdict:
    """As `try_batches`, with items that somebody has.

    Args:
        answered: two or more items, all of one shape if only those share a batch, each with what it gave alone just now.
    """
    started = time.monotonic()
    alone(answered[0][0])
    took = time.monotonic() - started
    fitting = tuple(size for size in sizes if size <= len(answered)) or (2,)
    verdict = _Trial(alone, together, answered, took, started + seconds).judge(fitting)
    if verdict.outcome == "ok" and not _tell_items_apart([answer for _, answer in answered]):
        return unchecked("the answers to different inputs are the same, so batches cannot be checked")
    return verdict


def _telling_items(
    inputs: Sequence[TrialInput], alone: Alone, count: int, end: float
) -> "tuple[list[tuple[Item, Item]], float] | Verdict":
    """Random items that run, with the model's answers, and the seconds that one takes.

    The model tells them apart, if it does so with any. The first item always runs twice: a first run is often slow. Where
    no item runs, a verdict that says why.
    """
    first = ""
    alike: list[tuple[list[tuple[Item, Item]], float]] = []
    ranges = values_for(inputs)
    for shapes, values in product(shapes_with(inputs, LIKELY_SIZES), ranges):
        items = random_items(inputs, shapes, count, values)
        try:
            alone(items[0])
            started = time.monotonic()
            answered = [(items[0], alone(items[0]))]
            took = time.monotonic() - started
            if started + _LEAST_RUNS * took > end:
                return unchecked(f"it is too slow to be tried: one item takes {took:.2g} seconds")
            fitting = max(_COMPANIONS, int(min(count, (end - started) / max(took, 1e-6) / 8)))
            answered += [(item, alone(item)) for item in items[1:fitting]]
        except LostBatchError as error:
            return Verdict("wrong", f"one item alone fails: {error}")
        except RunError as error:
            first = first or str(error)
            if time.monotonic() > end:
                break
            continue
        if _tell_items_apart([answer for _, answer in answered]):
            return answered, took
        alike.append((answered, took))
        if len(alike) == _ALIKE_TRIES * len(ranges) or time.monotonic() > end:
            break
    if alike:
        return alike[0]
    text = " ".join(first.split()) or "its inputs are too large to be made up"
    return unchecked(
        f"a single random item does not run: {text if len(text) <= _LONGEST_REASON else f'{text[:_LONGEST_REASON]}...'}"
    )


def _other_shapes(
    inputs: Sequence[TrialInput], item: Item, alone: Alone, end: float
) -> "tuple[list[tuple[Item, Item]], float] | None":
    """The same for other sizes of the dimensions that vary, where there are any with which items run."""
    known = {name: array.shape for name, array in item.items()}
    if all(dim >= 0 for one in inputs for dim in one.dims):
        return None
    for size in LIKELY_SIZES:
        others = [
            replace(one, dims=tuple(size if dim < 0 else dim for dim in one.dims), ragged=False) for one in inputs
        ]
        if all(one.dims == known[one.name] for one in others) or time.monotonic() > end:
            continue
        found = _telling_items(others, alone, 2 * _COMPANIONS - 1, end)
        if not isinstance(found, Verdict):
            return found
    return None


def _tell_items_apart(answers: Sequence[Item]) -> bool:
    """Without this, a model that answers every item with item 0's answer would pass."""
    return any(apart([one[name] for one in answers]) > tolerance(first.dtype) for name, first in answers[0].items())


class _Trial:
    """The batches of some items whose answers are known.

    Args:
        answered: items, each with what it gives alone.
        took: seconds that one item takes.
        end: when to be done, by the monotonic clock.
    """

    def __init__(
        self,
        alone: Alone,
        together: Mapping[str, Together],
        answered: Sequence[tuple[Item, Item]],
        took: float,
        end: float,
    ) -> None:
        self._alone = alone
        self._together = together
        self._items = [item for item, _ in answered]
        self._expected = [answer for _, answer in answered]
        self._took = took
        self._end = end
        self._ran: dict[tuple[str, int], Sequence[Item]] = {}
        self._largest = _COMPANIONS

    def judge(self, sizes: Sequence[int]) -> Verdict:
        """Run batches of these sizes, as many as there is time and items for, the smallest in any case."""
        self._largest = max(sizes, default=_COMPANIONS)
        try:
            restless = self._restless(self._items[:2])
            if restless == set(self._expected[0]):
                return unchecked("two runs on the same input give different answers, so batches cannot be checked")
            judge = Judge(self._expected, restless)
            ran = [size for size in sizes if self._run_size(judge, size, is_first=size <= 2)]
            for way in self._together:
                if time.monotonic() < self._end:
                    self._influence(judge, way)
                    judge.check_influence(way)
        except MismatchError as error:
            return self._blamed(error)
        except RunError as error:  # of an item that has run before
            return unchecked(f"an item does not run every time: {error}")
        if restless:
            return unchecked(
                f"two runs on the same input give different answers for {_listed(restless)}, so batches cannot be checked"
            )
        return Verdict("ok", sizes=tuple(size for size in ran if size > 1), difference=judge.worst, shapes=self._shapes)

    @property
    def _shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        return tuple((name, array.shape) for name, array in self._items[0].items())

    def _run_size(self, judge: Judge, size: int, is_first: bool) -> bool:
        """False if there is no time, or are not enough items, for batches of this size."""
        enough = len(self._items) >= size and time.monotonic() + 2 * size * self._took < self._end
        if not (enough or is_first):
            return False
        for way in self._together:
            answers = self._ran[way, size] = self._batch(way, self._items[:size])
            judge.check(way, answers, lambda way=way: self._influence(judge, way))  # type: ignore[misc]
        return True

    def _batch(self, way: str, items: Sequence[Item]) -> Sequence[Item]:
        try:
            return self._together[way](items)
        except RunError as error:
            raise MismatchError(f"a batch of {len(items)}{way} fails, while its items run alone: {error}") from None

    def _influence(self, judge: Judge, way: str) -> None:
        """Tell the judge how an item's answer changes with the items that it shares a batch with.

        All batches are of one size, so that rounding is the same in each; the first and the last item stay in turn, since
        in a sequence only what comes after an item can depend on it.
        """
        if judge.knows_influence(way):
            return
        items = self._items
        count = min(_COMPANIONS, self._largest, (len(items) + 1) // 2)
        others = items[count : 2 * count - 1]
        base = self._ran.get((way, count)) or self._batch(way, items[:count])
        first, last = self._batch(way, [items[0], *others]), self._batch(way, [*others, items[count - 1]])
        judge.tell_influence(way, base, first, last, lambda: self._batch(way, items[:count]))

    def _restless(self, items: Sequence[Item]) -> set[str]:
        """The outputs that differ when the same items run again."""
        found: set[str] = set()
        for item, expected in zip(items, self._expected, strict=False):
            found |= Judge.different(self._expected, expected, self._alone(item))
        return found

    def _blamed(self, error: MismatchError) -> Verdict:
        """A verdict on what was found, unless the model does not know its answers itself."""
        try:
            for _ in range(_MOST_RERUNS if error.output else 0):
                restless = self._restless(self._items)
                if error.output in restless:
                    return unchecked(
                        f"runs on the same input give different answers for {_listed(restless)}, so batches cannot be checked"
                    )
                if time.monotonic() > self._end:
                    break
        except RunError as other:
            return unchecked(f"an item does not run every time: {other}")
        return Verdict("wrong", str(error), item=error.item, output=error.output, shapes=self._shapes)


def _listed(names: set[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
