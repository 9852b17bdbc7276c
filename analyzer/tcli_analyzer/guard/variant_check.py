"""The variant's side: the original's items alone and in batches, and random ones in batches as every proof takes."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tcli_analyzer.guard.accuracy import Accuracy
from tcli_analyzer.guard.comparing import ALONE, Comparison, aligned, fitted
from tcli_analyzer.guard.jobs import FEWEST, Checked, CheckVariant, is_over
from tcli_analyzer.guard.judging import Limits
from tcli_server.proof.opening import OpenedModel
from tcli_server.trial import Item, RunError, TrialInput, Verdict, try_batches, try_items
from tcli_server.trial.runs import Together

_Shape = tuple[tuple[str, tuple[int, ...]], ...]

_SHARE_ALONE = 0.5
"""Of the time, for items alone; what is left is for batches."""


def check_variant(opened: OpenedModel, job: CheckVariant, tell: Callable[[str], None]) -> Checked:
    """Compare, as far as time allows."""
    return _Check(opened, job, tell).run()


class _Check:
    def __init__(self, opened: OpenedModel, job: CheckVariant, tell: Callable[[str], None]) -> None:
        self._opened = opened
        self._job = job
        self._tell = tell
        self._started = time.monotonic()
        original = job.original
        self._expected = [answer for _, answer in original.answered]
        self._comparison = Comparison(self._expected, original.labelled, original.restless)
        self._limits = Limits(job.tolerance, self._expected)
        ranks = {one.name: len(one.dims) for one in opened.runner.inputs}
        self._items = [fitted(item, ranks) for item, _ in original.answered]
        self._places = {id(item): place for place, item in enumerate(self._items)}
        self._alone: list[Item] = []
        self._batches: set[int] = set()

    def run(self) -> Checked:
        fault = self._run_alone()
        if fault:
            return self._checked("wrong", fault)
        outcome, reason = self._limits.judge(self._comparison.found)
        if outcome == "wrong":  # as batches cannot be better
            return self._checked(outcome, reason)
        verdict = self._tried()
        if verdict.outcome == "wrong":
            part = self._opened.mixing_part(verdict)
            return self._checked("wrong", f"{verdict.reason}: {part}" if part else verdict.reason, by_batches=True)
        outcome, reason = self._limits.judge(self._comparison.found)
        if outcome == "wrong":
            return self._checked(outcome, reason, by_batches=True)
        restless = self._job.original.restless
        if restless:
            outcome, reason = "unchecked", words_for_restless(restless)
        if outcome == "ok" and verdict.outcome == "unchecked":
            return self._checked("unchecked", verdict.reason, by_batches=True)
        return self._checked(outcome, reason)

    def _run_alone(self) -> str:
        """Compare items alone; why the variant is not the original if that is plain already."""
        self._tell("answering single items")
        seconds = _SHARE_ALONE * self._job.seconds
        for place, item in enumerate(self._items[: self._job.items]):
            if is_over(place, self._job.least, time.monotonic() - self._started, seconds):
                break
            try:
                answer = self._opened.runner.alone(item)
            except RunError as error:
                return f"it fails on item {place}, which the original answers: {error}"
            missing = [name for name in self._expected[place] if name not in answer]
            if missing:
                return f"it has no output '{missing[0]}', which the original has"
            self._alone.append(answer)
            self._comparison.add(ALONE, [place], [aligned(answer, self._expected[place])])
        return ""

    def _tried(self) -> Verdict:
        """Whether batches are what their items are alone: these items, and random ones that tell more apart."""
        sizes = self._job.sizes
        if not sizes:
            return Verdict("ok")
        end = time.monotonic() + (1 - _SHARE_ALONE) * self._job.seconds
        ways = self._recorded(self._opened.runner.ways)
        own = Verdict("unchecked", "there are no two inputs of one shape to make a batch of")
        mates = self._mates()
        if len(mates) >= FEWEST:
            answered = [(self._items[place], self._alone[place]) for place in mates]
            try:
                seconds = (1 - _SHARE_ALONE) / 2 * self._job.seconds
                own = try_items(answered, self._opened.runner.alone, ways, sizes, seconds)
            except RunError as error:
                own = Verdict("unchecked", f"an item does not run every time: {error}")
        if own.outcome == "wrong":
            return own
        self._tell("answering batches of random items")
        inputs = [replace(one, dims=self._dims(one)) for one in self._opened.runner.inputs]
        left = max(0.0, end - time.monotonic())
        made_up = try_batches(inputs, self._opened.runner.alone, ways, sizes, left)
        self._batches |= set(made_up.sizes)
        return own if made_up.outcome == "unchecked" else made_up

    def _dims(self, one: TrialInput) -> tuple[int, ...]:
        """A shape with which the original runs."""
        item = self._items[0]
        return item[one.name].shape if one.name in item else one.dims

    def _mates(self) -> list[int]:
        """Items that a server would put into one batch: of one shape, the most frequent one."""
        shapes: list[_Shape] = [
            tuple((name, array.shape) for name, array in item.items()) for item in self._items[: len(self._alone)]
        ]
        ((most, _),) = Counter(shapes).most_common(1)
        return [place for place, shape in enumerate(shapes) if shape == most]

    def _recorded(self, ways: Mapping[str, Together]) -> dict[str, Together]:
        """The ways, with what they give compared with the original, too."""

        def recorded(way: str, together: Together) -> Together:
            def run(items: Sequence[Item]) -> Sequence[Item]:
                self._tell(f"answering a batch of {len(items)}{way}")
                answers = together(items)
                places = [self._places.get(id(item), -1) for item in items]
                if all(place >= 0 for place in places):  # else random ones, of which the original knows nothing
                    fitting = [
                        aligned(answer, self._expected[place]) for place, answer in zip(places, answers, strict=True)
                    ]
                    self._comparison.add(f"in a batch of {len(items)}{way}", places, fitting)
                    self._batches.add(len(items))
                return answers

            return run

        return {way: recorded(way, together) for way, together in ways.items()}

    def _checked(self, outcome: str, reason: str = "", by_batches: bool = False) -> Checked:
        found = self._comparison.found
        outputs = tuple(one.accuracy(name, self._limits.allowed[name]) for name, one in found.items())
        notes = [*self._limits.notes(found)] if outcome == "ok" else []
        original = self._job.original
        if original.refused:
            notes.append(f"{original.refused} inputs that the original refuses were left out: {original.refusal}")
        accuracy = Accuracy(
            outcome,  # type: ignore[arg-type]
            reason,
            len(self._alone),
            tuple(sorted(self._batches)),
            outputs,
            notes=tuple(notes),
        )
        return Checked(accuracy, by_batches)


def words_for_restless(restless: Mapping[str, str]) -> str:
    """Why a random or stateful model is not compared."""
    found = ", ".join(f"output '{name}' {how}" for name, how in sorted(restless.items()))
    return f"the original does not give the same answer twice: {found} between two runs on the same input"
