"""Collects the answers of a variant and says how they differ from the original's."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tcli_analyzer.guard.accuracy import Largest, OutputAccuracy
from tcli_analyzer.guard.agreement import Agreement
from tcli_server.trial import Item
from tcli_server.trial.rounding import difference, is_off_by_one, is_real, largest, place_of_largest

ALONE = "alone"

_SCORES = re.compile(r"prob|score|logit|softmax", re.IGNORECASE)
_SUM_TOLERANCE = 1e-2


@dataclass
class Found:
    """What differs in one output so far.

    Attributes:
        relative: the largest relative difference of items alone (True) and in batches (False).
        numeric: see `OutputAccuracy.numeric`.
        items: those that were compared.
        same_class: item -> whether all answers have its largest score at the original's place; empty without scores.
        classes: those that the original names.
        off_by_one: whether whole numbers are nowhere more than one apart.
    """

    numeric: bool = True
    relative: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})
    absolute: float = 0.0
    worst: Largest | None = None
    equal: int = 0
    elements: int = 0
    items: set[int] = field(default_factory=set)
    other_shapes: set[int] = field(default_factory=set)
    shapes: str = ""
    same_class: dict[int, bool] = field(default_factory=dict)
    classes: set[int] = field(default_factory=set)
    off_by_one: bool = True

    def accuracy(self, name: str, allowed: float) -> OutputAccuracy:
        """For the report."""
        agreement = Agreement(sum(self.same_class.values()), len(self.same_class)) if self.same_class else None
        equal = self.equal / self.elements if self.elements else 1.0
        return OutputAccuracy(
            name,
            self.numeric,
            max(self.relative.values()),
            self.absolute,
            allowed,
            self.worst,
            equal,
            len(self.other_shapes),
            self.shapes,
            agreement,
        )


class Comparison:
    """The answers of a variant beside those of the original.

    Args:
        expected: what the original gives for each item alone.
        labelled: outputs that have names of classes.
        ignored: outputs that nothing can be said of.
    """

    def __init__(self, expected: Sequence[Item], labelled: Collection[str], ignored: Collection[str]) -> None:
        self._expected = expected
        self.found = {name: Found(_is_numeric(array)) for name, array in expected[0].items() if name not in ignored}
        self._scale = {name: max(largest(one[name]) for one in expected) for name in self.found}
        self._classes = {name for name in self.found if _names_classes(name, [e[name] for e in expected], labelled)}

    def add(self, way: str, items: Sequence[int], answers: Sequence[Item]) -> None:
        """Compare some answers.

        Args:
            way: `ALONE`, or how it is in a batch.
            items: which they are of.
            answers: with all outputs of the original.
        """
        for item, answer in zip(items, answers, strict=True):
            for name in self.found:
                self._add(name, way, item, answer[name])

    def _add(self, name: str, way: str, item: int, got: np.ndarray) -> None:
        found, wanted = self.found[name], self._expected[item][name]
        found.items.add(item)
        if got.shape != wanted.shape or got.dtype != wanted.dtype:
            found.other_shapes.add(item)
            found.shapes = found.shapes or f"item {item} {way} gives {_kinds(got, wanted)}"
            return
        same = _equal(got, wanted)
        found.elements += same.size
        found.equal += int(same.sum())
        if name in self._classes and got.size:
            wanted_class = _place(wanted)
            found.classes.add(wanted_class)
            found.same_class[item] = found.same_class.get(item, True) and _place(got) == wanted_class
        if same.all():
            return
        relative, absolute = _differences(got, wanted, self._scale[name])
        found.off_by_one = found.off_by_one and is_off_by_one(got, wanted)
        found.absolute = absolute if math.isnan(absolute) else max(found.absolute, absolute)
        found.relative[way == ALONE] = max(found.relative[way == ALONE], relative)
        if found.worst is None or relative > found.worst.relative:
            place = place_of_largest(got, wanted)
            texts = _text(got[place]), _text(wanted[place])
            found.worst = Largest(relative, absolute, item, place, *texts, way)


def fitted(item: Mapping[str, np.ndarray], ranks: Mapping[str, int]) -> Item:
    """An item for a model with another idea of its batch: a first dimension of 1 goes where there is no place for it, or comes."""
    return {name: _with_rank(array, ranks.get(name, array.ndim)) for name, array in item.items()}


def aligned(answer: Item, wanted: Item) -> Item:
    """The other way round: an answer with the number of dimensions that the original's has."""
    return {name: _with_rank(array, wanted[name].ndim) if name in wanted else array for name, array in answer.items()}


def _with_rank(array: np.ndarray, rank: int) -> np.ndarray:
    if array.ndim == rank + 1 and array.shape[0] == 1:
        return np.asarray(array[0])
    return array[np.newaxis] if array.ndim == rank - 1 else array


def _names_classes(name: str, answers: Sequence[np.ndarray], labelled: Collection[str]) -> bool:
    """Whether what stands at the largest place is the answer: scores of classes, or the number of one."""
    first = answers[0]
    if not is_real(first.dtype):
        return first.dtype.kind in "iu" and all(one.size == 1 for one in answers)
    if any(one.size < 2 or max(one.shape) != one.size for one in answers):
        return False
    return name in labelled or _SCORES.search(name) is not None or all(map(_are_probabilities, answers))


def _are_probabilities(answer: np.ndarray) -> bool:
    values = answer.astype(np.float64)
    return bool((values >= 0).all()) and abs(float(values.sum()) - 1) < _SUM_TOLERANCE


def _is_numeric(array: np.ndarray) -> bool:
    return is_real(array.dtype) or (array.dtype.kind in "iu" and array.dtype.itemsize <= 2)


def _place(answer: np.ndarray) -> int:
    """Which class it is."""
    return int(np.argmax(answer.astype(np.float64))) if is_real(answer.dtype) else int(answer.item())


def _equal(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    same = np.asarray(got == wanted, dtype=bool)
    if is_real(got.dtype) and not same.all():
        same |= np.isnan(got.astype(np.float64)) & np.isnan(wanted.astype(np.float64))
    return same


def _differences(got: np.ndarray, wanted: np.ndarray, scale: float) -> tuple[float, float]:
    """Relative and absolute, the largest of each, of arrays that are not equal."""
    if got.dtype.kind in "iu":
        apart = float(np.abs(got.astype(np.float64) - wanted.astype(np.float64)).max())
        top = float(np.abs(wanted.astype(np.float64)).max())
        return (apart / (top or 1.0) if _is_numeric(got) else 1.0), apart
    relative = difference(got, wanted, scale)
    if not is_real(got.dtype):
        return relative, float("nan")
    with np.errstate(invalid="ignore"):
        apart = float(np.nanmax(np.where(_equal(got, wanted), 0.0, np.abs(got.astype(float) - wanted.astype(float)))))
    return relative, apart if np.isfinite(relative) else float("inf")


def _kinds(got: np.ndarray, wanted: np.ndarray) -> str:
    """How two answers differ before any number does: rows where that is all, as of a detector."""
    if got.dtype == wanted.dtype and got.ndim == wanted.ndim > 0 and got.shape[1:] == wanted.shape[1:]:
        return f"{len(got)} rows, the original {len(wanted)}"
    return f"{_kind(got)}, the original {_kind(wanted)}"


def _kind(array: np.ndarray) -> str:
    return f"{'strings' if array.dtype.kind in 'OSU' else array.dtype} {list(array.shape)}"


def _text(value: object) -> str:
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        return repr(text if len(text) <= 40 else f"{text[:40]}...")
    number = getattr(value, "item", lambda: value)()
    return f"{number:.6g}" if isinstance(number, float) else str(number)
