"""What is measured of several models at once: a configuration of each, under its load."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import Load


@dataclass(frozen=True)
class Choice:
    """One model's part.

    Attributes:
        items: inferences in a request.
    """

    model: str
    configuration: Configuration
    load: Load
    items: int = 1

    @property
    def label(self) -> str:
        """For people: "densenet: batch 4, 1 instance, concurrency 8"."""
        items = f", {self.items} items a request" if self.items > 1 else ""
        return f"{self.model}: {self.configuration.label}, {self.load.label}{items}"


@dataclass(frozen=True)
class Arrangement:
    """One choice for each model, always in the same order."""

    choices: tuple[Choice, ...]

    @property
    def label(self) -> str:
        """For people: the choices of all models."""
        return "; ".join(choice.label for choice in self.choices)

    @property
    def is_current(self) -> bool:
        """Whether every model has its own, unchanged configuration."""
        return all(choice.configuration.current for choice in self.choices)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Models whose configuration was found to give wrong batches."""
        return tuple(choice.model for choice in self.choices if choice.configuration.wrong_batches)

    def of(self, model: str) -> Choice:
        """This model's."""
        return next(choice for choice in self.choices if choice.model == model)

    def having(self, changed: Iterable[Choice]) -> Self:
        """With these in place of those of the same models."""
        new = {choice.model: choice for choice in changed}
        return replace(self, choices=tuple(new.get(choice.model, choice) for choice in self.choices))
