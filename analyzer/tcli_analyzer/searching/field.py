"""What is searched: configurations under loads, and what is wanted of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.prediction.setup import group_key, setup_of


@dataclass(frozen=True)
class Spot:
    """A configuration under a load, which may be measured.

    Attributes:
        group: configurations of the same number differ in the batcher's settings at most.
        same: configurations that run the same way under this load.
    """

    configuration: Configuration
    load: Load
    group: int
    same: tuple[Configuration, ...] = ()

    @property
    def label(self) -> str:
        """For people: "batch 4, 1 instance, concurrency 8"."""
        return f"{self.configuration.label}, {self.load.label}"


@dataclass(frozen=True)
class Field:
    """Everything that may be measured, and the goal.

    Attributes:
        configurations: in order of simplicity, as the first of those that run the same way is measured; the current one is marked.
        loads: each configuration may be measured under each.
        value: of measurements, above 0, where more is better.
        keeps: whether measurements keep the latency budget; None where that cannot be told. No function where there is no budget.
        percentile: that the budget is about; a share.
        rivals: how many leaders are wanted, beside the current configuration.
        items: inferences in a request. Configurations that take fewer are left out.
    """

    configurations: Sequence[Configuration]
    loads: Sequence[Load]
    value: Callable[[Windows], float]
    keeps: Callable[[Windows], bool | None] | None = None
    percentile: float = 0.99
    rivals: int = 3
    items: int = 1

    @property
    def size(self) -> int:
        """Points that a full measurement has."""
        return len(self.fitting) * len(self.loads)

    @cached_property
    def fitting(self) -> tuple[Configuration, ...]:
        """Configurations that take the requests, the current one first."""
        taken = [one for one in self.configurations if max(1, one.max_batch_size) >= self.items]
        return tuple(sorted(taken, key=lambda one: not one.current))

    @cached_property
    def groups(self) -> tuple[tuple[Configuration, ...], ...]:
        """Configurations whose executions take equally long."""
        found: dict[bytes, list[Configuration]] = {}
        for configuration in self.fitting:
            found.setdefault(group_key(configuration), []).append(configuration)
        return tuple(tuple(members) for members in found.values())

    @cached_property
    def spots(self) -> tuple[Spot, ...]:
        """What can differ: without a delay no batch is larger than what is outstanding, so that larger limits run the same."""
        found: dict[object, list[tuple[Configuration, Load, int]]] = {}
        for number, members in enumerate(self.groups):
            for configuration in members:
                for load in self.loads:
                    found.setdefault((number, load, self._behaviour(configuration, load)), []).append(
                        (configuration, load, number)
                    )
        return tuple(
            Spot(*group[0], tuple(configuration for configuration, _, _ in group[1:])) for group in found.values()
        )

    def is_kept(self, windows: Windows) -> bool | None:
        """As `keeps`; True without a budget."""
        return self.keeps(windows) if self.keeps is not None else True

    def _behaviour(self, configuration: Configuration, load: Load) -> object:
        if configuration.wrong_batches:  # it stands for nothing but itself
            return configuration
        rules = setup_of(configuration, self.items).rules
        if rules.max_delay_ns:
            return rules.limit, rules.preferred, rules.max_delay_ns
        limit = min(rules.limit, load.concurrency) if isinstance(load, ClosedLoad) else rules.limit
        return limit, configuration.config.dynamic_batching.preserve_ordering
