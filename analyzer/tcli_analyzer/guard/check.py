"""Checks variants, those that compute alike by one run."""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.guard.accuracy import Accuracy
from tcli_analyzer.guard.agreement import least_count
from tcli_analyzer.guard.jobs import FEWEST, AskOriginal, Checked, CheckVariant, Failed, Original, Place
from tcli_analyzer.guard.process import run_apart
from tcli_analyzer.guard.tolerance import LOWER_PRECISION, ROUNDING, Tolerance, may_lower_precision
from tcli_analyzer.guard.variant_check import words_for_restless
from tcli_analyzer.inputs import RandomSource, Source
from tcli_server.proof import SIZES

ITEMS = 64
"""Inputs that are worth having: with fewer than 35 no interval of the agreement reaches 90 %."""

FEW_ITEMS = 16
"""Random inputs that are compared where no agreement has to be proved: what is not rounding shows in any of them."""

_MOST_BYTES = 64 << 20
_THREADS = re.compile(r"thread|num_streams|spin", re.IGNORECASE)
"""Parameters, of any backend, that say how many threads compute, and nothing of what."""


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """What the comparison may cost, and what is the same.

    Attributes:
        same_precision: tolerance of variants that compute in the original's precision.
        lower_precision: of those that may compute in less, see `may_lower_precision`.
        items: inputs that are compared at most; fewer where they are random and no tolerance asks for agreement.
        seconds: about so long may the original be asked, and each group of variants that compute alike, loading not included;
            of what is slow fewer items and batches are compared, but
            three times as long where too few inputs would leave agreement open.
        limit: seconds that a process may take, loading included; then it is ended, and that is the result.
        memory: bytes that each process may hold; None for nearly all that are free.
    """

    same_precision: Tolerance = ROUNDING
    lower_precision: Tolerance = LOWER_PRECISION
    items: int = ITEMS
    seconds: float = 15.0
    limit: float = 120.0
    memory: int | None = None


class Guard:
    """Compares variants of one model with the original, which is asked once, one item at a time, when it is first needed; once more
    when more items are, for the first variant of a lower precision.

    Processes: one for the original, and one for each group of variants that differ in nothing but batches, delays and instances.
    What holds for batches of 8 holds for those of 4, so the largest of a group come first, and smaller ones are tried by
    themselves only if those fail. What is known is not tried again, so leaders may be asked for as they are found.

    Args:
        repositories: of the model as it is (False) and of the rewritten model (True), as `LocalBench` takes them.
        original: the owner's configuration. It may be among the variants: then it is asked whether its batches are right.
        source: of the inputs, `GuardOptions.items` of them or more if it has as many.
        stop: set it, from any thread, to give up.
        told: what goes on, for people.
    """

    def __init__(
        self,
        repositories: Mapping[bool, Path],
        model: str,
        original: Configuration,
        source: Source,
        stop: threading.Event,
        options: GuardOptions | None = None,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._repositories = repositories
        self._model = model
        self._owners = original
        self._source = source
        self._stop = stop
        self._options = options or GuardOptions()
        self._told = told
        self._original: Original | Failed | None = None
        self._asked = 0
        self._known: defaultdict[tuple[bool, bytes], list[tuple[int, Checked]]] = defaultdict(list)

    def check(self, variants: Iterable[Configuration]) -> dict[Configuration, Accuracy]:
        """What is found of each, in their order.

        Raises:
            Stopped: `stop` was set.
        """
        wanted = list(variants)
        needed = max((self._items(self._tolerance(one)) for one in wanted), default=0)
        if needed > self._asked and not isinstance(self._original, Failed):
            self._told("asking the model as it is for the right answers ...")
            self._original = self._ask(needed, max(_least(self._tolerance(one)) for one in wanted))
            self._asked = needed
        found = {one: self._accuracy(one) for one in sorted(wanted, key=lambda one: -one.config.max_batch_size)}
        return {one: found[one] for one in wanted}

    def _ask(self, items: int, least: int) -> Original | Failed:
        options = self._options
        place = self._place(self._owners)
        job = AskOriginal(place, self._source, items, least, options.seconds, _MOST_BYTES)
        answer = run_apart(job, options.limit, self._stop, options.memory)
        assert not isinstance(answer, Checked)
        return answer

    def _accuracy(self, variant: Configuration) -> Accuracy:
        size = variant.config.max_batch_size
        accuracy = self._checked(variant).accuracy
        return replace(
            accuracy,
            batches=tuple(one for one in accuracy.batches if one <= size),
            lower_precision=self._is_lower(variant),
            changes=changes(self._owners.config, variant),
        )

    def _checked(self, variant: Configuration) -> Checked:
        original = self._original
        assert original is not None
        if isinstance(original, Failed):
            whose = "" if original.reason.startswith(("the original", "no inputs")) else "the original: "
            return Checked(Accuracy("unchecked", f"{whose}{original.reason}"))
        if set(original.restless) == set(original.answered[0][1]):
            return Checked(Accuracy("unchecked", words_for_restless(original.restless)))
        size = variant.config.max_batch_size
        known = self._known[variant.rewritten_model, _computation(variant.config)]
        for other, checked in known:
            is_for_all = not checked.by_batches and (other > size or checked.accuracy.verdict != "ok")
            if other == size or is_for_all:
                return checked
        self._told(f"comparing the answers of {variant.label} ...")
        checked = self._run(variant, original)
        known.append((size, checked))
        return checked

    def _run(self, variant: Configuration, original: Original) -> Checked:
        options = self._options
        largest = variant.config.max_batch_size
        sizes = tuple(sorted({size for size in (*SIZES, largest) if min(SIZES) <= size <= largest}))
        tolerance = self._tolerance(variant)
        place, items, least = self._place(variant), self._items(tolerance), _least(tolerance)
        job = CheckVariant(place, original, sizes, items, least, options.seconds, tolerance)
        answer = run_apart(job, options.limit, self._stop, options.memory)
        if isinstance(answer, Failed):
            return Checked(Accuracy("wrong" if answer.died else "unchecked", answer.reason), by_batches=answer.ended)
        assert isinstance(answer, Checked)
        return answer

    def _tolerance(self, variant: Configuration) -> Tolerance:
        return self._options.lower_precision if self._is_lower(variant) else self._options.same_precision

    def _items(self, tolerance: Tolerance) -> int:
        few = not tolerance.agreement and isinstance(self._source, RandomSource)
        return min(FEW_ITEMS, self._options.items) if few else self._options.items

    def _is_lower(self, variant: Configuration) -> bool:
        """Whether one of both may compute in less than FP32."""
        return may_lower_precision(self._owners.config) or may_lower_precision(variant.config)

    def _place(self, configuration: Configuration) -> Place:
        folder = self._repositories[configuration.rewritten_model] / self._model
        return Place(self._model, folder, configuration.config.SerializeToString())


def changes(original: ModelConfig, variant: Configuration) -> bool:
    """Whether a variant's numbers can be others than those that the owner's configuration gives, by more than the order in which
    threads add up: all that is not the same computation in batches no larger."""
    own, other = original, variant.config
    if variant.rewritten_model or _computation(own, threads=False) != _computation(other, threads=False):
        return True
    joins = other.max_batch_size > 1 and other.HasField("dynamic_batching")
    return other.max_batch_size > max(1, own.max_batch_size) or (joins and not own.HasField("dynamic_batching"))


def _least(tolerance: Tolerance) -> int:
    """How many inputs the agreement takes to be proved."""
    return least_count(tolerance.agreement) if tolerance.agreement else FEWEST


def _computation(config: ModelConfig, threads: bool = True) -> bytes:
    """What of a configuration decides what is computed: not how many are in a batch, nor who waits where.

    Args:
        threads: how many there are of them counts, too.
    """
    same = ModelConfig()
    same.CopyFrom(config)
    same.max_batch_size = min(config.max_batch_size, 1)  # with 0 the dimensions are others
    for field in ("name", "dynamic_batching", "response_cache", "model_warmup"):
        same.ClearField(field)
    for group in same.instance_group:
        group.count = 1
        group.name = ""
    for key in [] if threads else [key for key in same.parameters if _THREADS.search(key)]:
        del same.parameters[key]
    return bytes(same.SerializeToString(deterministic=True))
