"""What goes to a process of the guard and comes back, pickled: both are this program."""

from dataclasses import dataclass, field
from pathlib import Path

from tcli_analyzer.guard.accuracy import Accuracy
from tcli_analyzer.guard.tolerance import Tolerance
from tcli_analyzer.inputs import Source
from tcli_server.trial import Item

FEWEST = 2
"""Items that are asked however slow or large they are."""

_PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A model as it is to be loaded.

    Attributes:
        folder: the model's.
        config: instead of its own, serialized; None for its own.
    """

    name: str
    folder: Path
    config: bytes | None


def is_over(done: int, least: int, spent: float, seconds: float) -> bool:
    """Whether there is no more time for items: two are asked in any case, and as many as an interval needs for three times as long."""
    return done >= FEWEST and spent > (seconds if done >= least else _PATIENCE * seconds)


@dataclass(frozen=True, slots=True)
class AskOriginal:
    """Answer items one at a time; answered by `Original`.

    Attributes:
        items: at most.
        least: that are worth some more time, see `is_over`.
        seconds: about so long.
        most_bytes: of inputs and answers together, two items in any case.
    """

    place: Place
    source: Source
    items: int
    least: int
    seconds: float
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Original:
    """What the original answers.

    Attributes:
        answered: items and their answers, without a batch dimension.
        labelled: outputs that have names of classes.
        restless: output -> how two runs on one item differ, for people; outputs that give the same twice are left out.
        refused: how many of the items it does not answer.
        refusal: why the first of them.
    """

    answered: list[tuple[Item, Item]]
    labelled: frozenset[str]
    restless: dict[str, str]
    refused: int = 0
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class CheckVariant:
    """Compare a variant with the original; answered by `Checked`.

    Attributes:
        sizes: of the batches to try.
        items: to be asked alone, at most.
        least: that are worth some more time, see `is_over`.
        seconds: about so long.
    """

    place: Place
    original: Original
    sizes: tuple[int, ...]
    items: int
    least: int
    seconds: float
    tolerance: Tolerance


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found.

    Attributes:
        by_batches: a configuration with smaller batches may fare better.
    """

    accuracy: Accuracy
    by_batches: bool = False


@dataclass(frozen=True, slots=True)
class Doing:
    """Not yet an answer: what goes on, for people who wonder what a process died of."""

    what: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Instead of an answer: why there is none.

    Attributes:
        died: the process ended by itself, and a server's would, too.
        ended: it did not come to an end by itself, or died.
    """

    reason: str
    died: bool = False
    ended: bool = False


Job = AskOriginal | CheckVariant
Answer = Original | Checked | Failed


@dataclass
class Told:
    """What a process has said so far."""

    doing: str = "starting"
    answer: Answer | None = field(default=None)
