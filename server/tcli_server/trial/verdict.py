"""What was found out about the batches of a model."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a batch gives what its items give alone.

    Attributes:
        outcome: `ok`; `wrong`: a batch fails, or gives other answers; `unchecked`: that could not be found out.
        reason: of anything but `ok`: what was found, with output, item and numbers, or why nothing was.
        sizes: the batches that were run, in items; none where nothing was compared.
        difference: the largest one that rounding explains, relative to the largest value of the item's output.
        item: the first item of a wrong batch that gets another answer, from 0; -1 where the batch fails, or none is known.
        output: the output that is another one then.
        shapes: the shape of each input of an item that was run, batch dimension not included.
        died: the process that ran the model was ended by a fault in it; a server's would be, too.
    """

    outcome: Literal["ok", "wrong", "unchecked"]
    reason: str = ""
    sizes: tuple[int, ...] = ()
    difference: float = 0.0
    item: int = -1
    output: str = ""
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    died: bool = False

    @property
    def sentence(self) -> str:
        """What was found, for a reader."""
        if self.outcome != "ok":
            return self.reason
        if not self.sizes:
            return self.reason or "no two items share a batch"
        sizes = ", ".join(map(str, self.sizes))
        close = f"within {self.difference:.1g} of the largest value" if self.difference else "to the last bit"
        return f"batches of {sizes} give what single items give, {close}"


def unchecked(reason: str) -> Verdict:
    """Nothing is known, for this reason."""
    return Verdict("unchecked", reason)
