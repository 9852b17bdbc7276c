"""What was found out about the answers of a variant."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from tcli_analyzer.guard.agreement import Agreement

Outcome = Literal["ok", "wrong", "unchecked"]


@dataclass(frozen=True, slots=True)
class Largest:
    """Where an output differs most.

    Attributes:
        relative: the difference as a share of the largest value of that item's output; infinity where only one of both is
            finite; 1 for what is no real number.
        absolute: the difference there; infinity as above, nan for what is no number.
        item: which one, from 0.
        element: its place in the item's output.
        got: the variant's value, as text.
        wanted: the original's.
        way: "alone", or "in a batch of 8".
    """

    relative: float
    absolute: float
    item: int
    element: tuple[int, ...]
    got: str
    wanted: str
    way: str

    @property
    def place(self) -> str:
        """For people."""
        element = f", element {list(self.element)}" if self.element else ""
        return f"item {self.item}{element} {self.way} is {self.got}, the original's {self.wanted}"


@dataclass(frozen=True, slots=True)
class OutputAccuracy:
    """One output, over all items and ways.

    Attributes:
        numeric: real numbers, or whole ones of 8 and 16 bits, which may be rounded real ones. What else there is (numbers of
            classes, masks, strings) is the same or is not: `equal` says how much.
        relative: the largest relative difference, see `Largest.relative`; 0 if all are equal.
        absolute: the largest absolute one, which may be at another place.
        allowed: the most that `relative` may be for real numbers.
        worst: where `relative` is; None if all are equal.
        equal: share of the elements that are equal to the last bit.
        other_shapes: items that were answered in another shape.
        shapes: an example of that for people, such as "12 rows, the original's 13"; empty without any.
        top1: items whose largest score is at the same place; None for what does not look like scores of classes.
    """

    name: str
    numeric: bool
    relative: float
    absolute: float
    allowed: float
    worst: Largest | None
    equal: float
    other_shapes: int = 0
    shapes: str = ""
    top1: Agreement | None = None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A variant's answers against the original's.

    Attributes:
        verdict: `ok`: within the tolerance; `wrong`: outside, or it does not answer; `unchecked`: that cannot be told.
        reason: of anything but `ok`, for people.
        items: that were compared alone.
        batches: sizes of the batches that were compared, in items.
        outputs: what was found; none where nothing could be compared.
        lower_precision: whether it was judged as one that may compute in less than the original.
        changes: whether its numbers can be others than those that the owner's configuration gives at all.
        notes: what a reader of the figures should know, a sentence each.
    """

    verdict: Outcome
    reason: str = ""
    items: int = 0
    batches: tuple[int, ...] = ()
    outputs: tuple[OutputAccuracy, ...] = ()
    lower_precision: bool = False
    changes: bool = True
    notes: tuple[str, ...] = ()

    @property
    def may_win(self) -> bool:
        """Whether it may be recommended: what cannot be told is enough for what cannot change, as for a model that is random."""
        return self.verdict == "ok" or (self.verdict == "unchecked" and not self.changes)

    @property
    def relative(self) -> float:
        """The largest relative difference of all outputs that are numeric."""
        return max((one.relative for one in self.outputs if one.numeric), default=0.0)

    @property
    def absolute(self) -> float:
        """The largest absolute difference of those."""
        return max((one.absolute for one in self.outputs if one.numeric), default=0.0)

    @property
    def equal(self) -> float:
        """The smallest share of equal elements of the outputs that are not; 1 without any."""
        return min((one.equal for one in self.outputs if not one.numeric), default=1.0)

    @property
    def top1(self) -> Agreement | None:
        """The lowest agreement of all outputs that look like scores of classes."""
        found = [one.top1 for one in self.outputs if one.top1 is not None]
        return min(found, key=lambda one: one.low, default=None)

    @property
    def sentence(self) -> str:
        """The verdict, for people."""
        if self.verdict != "ok":
            return self.reason
        batches = f", alone and in batches of {', '.join(map(str, self.batches))}" if self.batches else ""
        found = [f"largest difference {share(self.relative)} of the largest value"] if self.relative else []
        if self.equal < 1:
            found.append(f"{100 * self.equal:.4g} % of the whole numbers and strings equal")
        if self.top1 is not None:
            found.append(f"same class for {self.top1.text}")
        same = not self.relative and self.equal == 1
        return f"{self.items} inputs{batches}: {', '.join(['the same to the last bit', *found] if same else found)}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON document; what is not finite is None."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "may_win": self.may_win,
            "items": self.items,
            "batches": list(self.batches),
            "lower_precision": self.lower_precision,
            "outputs": {one.name: _output_json(one) for one in self.outputs},
            "notes": list(self.notes),
        }


def share(part: float) -> str:
    """A relative difference for people."""
    if not math.isfinite(part):
        return "infinitely much"
    return f"{100 * part:.2g} %" if part < 0.1 else f"{100 * part:,.0f} %"


def _output_json(one: OutputAccuracy) -> dict[str, Any]:
    worst, top1 = one.worst, one.top1
    return {
        "numeric": one.numeric,
        "largest_relative": _finite(one.relative),
        "largest_absolute": _finite(one.absolute),
        "allowed_relative": _finite(one.allowed),
        "equal_share": one.equal,
        "where": None
        if worst is None
        else {
            "item": worst.item,
            "element": list(worst.element),
            "got": worst.got,
            "original": worst.wanted,
            "way": worst.way,
        },
        "other_shapes": one.other_shapes,
        "shapes": one.shapes,
        "top1": None
        if top1 is None
        else {"same": top1.same, "count": top1.count, "low": round(top1.low, 4), "high": round(top1.high, 4)},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
