"""Checks variants, those that compute alike together."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.guard.accuracy import Accuracy
from tcli_analyzer.guard.jobs import AskOriginal, Checked, CheckVariant, Failed, Original, Place
from tcli_analyzer.guard.process import run_apart
from tcli_analyzer.guard.tolerance import LOWER_PRECISION, ROUNDING, Tolerance, may_lower_precision
from tcli_analyzer.guard.variant_check import words_for_restless
from tcli_analyzer.inputs import Source
from tcli_server.proof import SIZES

ITEMS = 64
"""Inputs that are worth having: with fewer than 35 no interval of the agreement reaches 90 %."""

_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """What the comparison may cost, and what is the same.

    Attributes:
        same_precision: tolerance of variants that compute in the original's precision.
        lower_precision: of those that may compute in less, see `may_lower_precision`.
        items: inputs that are compared at most.
        seconds: about so long may the original be asked, and each group of variants that compute alike, loading not included;
            of what is slow fewer items and batches are compared.
        limit: seconds that a process may take, loading included; then it is ended, and that is the result.
        memory: bytes that each process may hold; None for nearly all that are free.
    """

    same_precision: Tolerance = ROUNDING
    lower_precision: Tolerance = LOWER_PRECISION
    items: int = ITEMS
    seconds: float = 15.0
    limit: float = 120.0
    memory: int | None = None


def check(
    repositories: Mapping[bool, Path],
    model: str,
    original: Configuration,
    variants: Iterable[Configuration],
    source: Source,
    stop: threading.Event,
    options: GuardOptions | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> dict[Configuration, Accuracy]:
    """Compare each variant's answers with those of the original, which is asked once, one item at a time.

    Processes: one for the original, and one for each group of variants that differ in nothing but batches, delays and instances;
    the largest batches of a group are tried, and smaller ones by themselves only if those fail.

    Args:
        repositories: of the model as it is (False) and of the rewritten model (True), as `LocalBench` takes them.
        original: the owner's configuration. It may be among the variants: then it is asked whether its batches are right.
        source: of the inputs, `items` of them or more if it has as many.
        stop: set it, from any thread, to give up.
        told: which variants are next, for people.

    Raises:
        Stopped: `stop` was set.
    """
    guard = _Guard(repositories, model, original.config, stop, options or GuardOptions())
    wanted = list(variants)
    told("asking the model as it is for the right answers ...")
    answers = guard.ask(original, source)
    if isinstance(answers, Failed):
        reason = (
            answers.reason
            if answers.reason.startswith(("the original", "no inputs"))
            else f"the original: {answers.reason}"
        )
        return {one: Accuracy("unchecked", reason, changes=changes(original.config, one)) for one in wanted}
    found: dict[Configuration, Accuracy] = {}
    for group in _groups(wanted):
        told(f"comparing answers: {', '.join(one.label for one in group)} ...")
        found.update(guard.check(group, answers))
    return {
        one: replace(
            found[one],
            batches=tuple(size for size in found[one].batches if size <= one.config.max_batch_size),
            lower_precision=guard.is_lower(one),
            changes=changes(original.config, one),
        )
        for one in wanted
    }


def changes(original: ModelConfig, variant: Configuration) -> bool:
    """Whether a variant's numbers can be others than those that the owner's configuration gives: all that is not the same
    computation in batches no larger."""
    own, other = original, variant.config
    if variant.rewritten_model or _computation(own) != _computation(other):
        return True
    joins = other.max_batch_size > 1 and other.HasField("dynamic_batching")
    return other.max_batch_size > max(1, own.max_batch_size) or (joins and not own.HasField("dynamic_batching"))


class _Guard:
    def __init__(
        self,
        repositories: Mapping[bool, Path],
        model: str,
        original: ModelConfig,
        stop: threading.Event,
        options: GuardOptions,
    ) -> None:
        self._repositories = repositories
        self._model = model
        self._stop = stop
        self._options = options
        self._is_lower = may_lower_precision(original)

    def is_lower(self, variant: Configuration) -> bool:
        """Whether one of both may compute in less than FP32."""
        return self._is_lower or may_lower_precision(variant.config)

    def ask(self, original: Configuration, source: Source) -> Original | Failed:
        """The right answers."""
        options = self._options
        job = AskOriginal(self._place(original), source, options.items, options.seconds, _MOST_BYTES)
        answer = run_apart(job, options.limit, self._stop, options.memory)
        assert not isinstance(answer, Checked)
        return answer

    def check(self, group: Sequence[Configuration], original: Original) -> dict[Configuration, Accuracy]:
        """Check variants that compute alike, the largest batches first."""
        if set(original.restless) == set(original.answered[0][1]):
            return dict.fromkeys(group, Accuracy("unchecked", words_for_restless(original.restless)))
        found: dict[Configuration, Accuracy] = {}
        left = list(group)
        while left:
            largest = left[0].config.max_batch_size
            checked = self._checked(left[0], original)
            is_for_all = not checked.by_batches or largest < min(SIZES)
            done = [one for one in left if is_for_all or one.config.max_batch_size == largest]
            found.update(dict.fromkeys(done, checked.accuracy))
            left = [one for one in left if one not in done]
        return found

    def _checked(self, variant: Configuration, original: Original) -> Checked:
        options = self._options
        largest = variant.config.max_batch_size
        sizes = tuple(sorted({size for size in (*SIZES, largest) if min(SIZES) <= size <= largest}))
        tolerance = options.lower_precision if self.is_lower(variant) else options.same_precision
        job = CheckVariant(self._place(variant), original, sizes, options.seconds, tolerance)
        answer = run_apart(job, options.limit, self._stop, options.memory)
        if isinstance(answer, Failed):
            return Checked(Accuracy("wrong" if answer.died else "unchecked", answer.reason), by_batches=answer.ended)
        assert isinstance(answer, Checked)
        return answer

    def _place(self, configuration: Configuration) -> Place:
        folder = self._repositories[configuration.rewritten_model] / self._model
        return Place(self._model, folder, configuration.config.SerializeToString())


def _groups(variants: Iterable[Configuration]) -> list[list[Configuration]]:
    """Variants that compute alike, those with the largest batches first."""
    groups: defaultdict[tuple[bool, bytes], list[Configuration]] = defaultdict(list)
    for variant in variants:
        groups[variant.rewritten_model, _computation(variant.config)].append(variant)
    return [sorted(group, key=lambda one: -one.config.max_batch_size) for group in groups.values()]


def _computation(config: ModelConfig) -> bytes:
    """What of a configuration decides what is computed: not how many are in a batch, nor who waits where."""
    same = ModelConfig()
    same.CopyFrom(config)
    same.max_batch_size = min(config.max_batch_size, 1)  # with 0 the dimensions are others
    for field in ("name", "dynamic_batching", "response_cache", "model_warmup"):
        same.ClearField(field)
    for group in same.instance_group:
        group.count = 1
        group.name = ""
    return same.SerializeToString(deterministic=True)
