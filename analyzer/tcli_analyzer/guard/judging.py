"""Whether what differs is within a tolerance."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tcli_analyzer.guard.accuracy import Outcome, share
from tcli_analyzer.guard.agreement import Agreement, least_count
from tcli_analyzer.guard.comparing import Found
from tcli_analyzer.guard.tolerance import Tolerance
from tcli_server.trial import Item
from tcli_server.trial.rounding import allowed, is_real


class Limits:
    """What a tolerance allows each output of a model.

    Args:
        expected: what the original gives for each item alone.
    """

    def __init__(self, tolerance: Tolerance, expected: Sequence[Item]) -> None:
        self._tolerance = tolerance
        self._real = {name: is_real(array.dtype) for name, array in expected[0].items()}
        self.allowed = {name: self._allowed([one[name] for one in expected]) for name in expected[0]}

    def judge(self, found: Mapping[str, Found]) -> tuple[Outcome, str]:
        """The verdict on all outputs, and the reason where it is not `ok`: the first that is wrong, or cannot be told."""
        unchecked = ""
        for name, one in found.items():
            for outcome, reason in self._faults(name, one):
                if outcome == "wrong":
                    return "wrong", reason
                unchecked = unchecked or reason
        return ("unchecked", unchecked) if unchecked else ("ok", "")

    def notes(self, found: Mapping[str, Found]) -> Iterator[str]:
        """What a reader of the figures should know: what is over the limit in batches, and was taken for rounding all the same,
        and agreement that says little."""
        for name, one in found.items():
            over = one.relative[False] > self.allowed[name]
            if self._real[name] and self._tolerance.relative is None and over:
                yield (
                    f"output '{name}' differs by {share(one.relative[False])} of the largest value in batches, as models do "
                    "that compute in less than FP32; the other items of a batch have no part in it"
                )
            if len(one.classes) == 1 and len(one.same_class) > 1:
                yield (
                    f"the original names one class for all {len(one.same_class)} inputs by output '{name}', so that the "
                    "same classes say little: real inputs (--input) say more"
                )

    def _allowed(self, answers: Sequence[np.ndarray]) -> float:
        given = self._tolerance.relative
        if is_real(answers[0].dtype):
            return allowed(answers) if given is None else given
        return given or 0.0

    def _faults(self, name: str, found: Found) -> Iterator[tuple[Outcome, str]]:
        limits = self._tolerance
        if len(found.other_shapes) > limits.other_shapes * len(found.items):
            count = f"for {len(found.other_shapes)} of {len(found.items)} items"
            yield "wrong", f"output '{name}' has another shape or datatype than the original's {count}: {found.shapes}"
        where = f": {found.worst.place}" if found.worst is not None else ""
        # What rounding is in a batch has been judged by the proof of batches, which knows whether the others have a part in it.
        relative = found.relative[True] if limits.relative is None else max(found.relative.values())
        if math.isinf(max(found.relative.values())):
            yield "wrong", f"output '{name}' is not finite where the original's is, or the other way round{where}"
        if self._real[name]:
            if relative > self.allowed[name]:
                what = "rounding explains" if limits.relative is None else "the tolerance is"
                difference = f"{share(relative)} of the largest value, {what} {share(self.allowed[name])}"
                yield "wrong", f"output '{name}' differs from the original's by {difference}{where}"
        elif not self._is_whole_enough(found):
            equal = f"{100 * found.equal / found.elements:.4g} % of {found.elements:,} elements are the original's"
            yield "wrong", f"output '{name}': {equal}, expected {100 * limits.whole:g} %{where}"
        if found.same_class and limits.agreement:
            yield from self._doubts(name, Agreement(sum(found.same_class.values()), len(found.same_class)))

    def _is_whole_enough(self, found: Found) -> bool:
        if not found.elements or found.equal >= self._tolerance.whole * found.elements:
            return True
        if not found.numeric:
            return False
        return found.off_by_one or max(found.relative.values()) <= (self._tolerance.relative or 0.0)

    def _doubts(self, name: str, found: Agreement) -> Iterator[tuple[Outcome, str]]:
        least = self._tolerance.agreement
        if found.low >= least:
            return
        text = f"output '{name}' names the original's class for {found.text} items"
        if found.high < least:
            yield "wrong", f"{text}, expected at least {100 * least:g} %"
        else:
            more = f"{least_count(least)} that all agree are the least that suffices"
            yield (
                "unchecked",
                f"{text}, which leaves open whether it is {100 * least:g} % of all: give more inputs, {more}",
            )
