"""One thing that is wrong in a model repository, told so that it can be put right."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Edit:
    """A change to a text: what is `old` at `line` and `column` (both count from 1) becomes `new`."""

    line: int
    column: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and what to do about it.

    Attributes:
        file: the file (or folder) to change; None where the configuration came with a load request.
        line: 1-based line of the field in `file`; None where no line is to blame.
        field: full path of the field (`input[0].dims`), empty where the file as a whole is meant.
        found: what is there.
        expected: what belongs there.
        fix: what to do, as an instruction.
        edits: what `fix` says as changes to the text of `file`, for programs; empty where only a person can decide.
        blocks: whether the model cannot be served before it is put right; else it is only worth knowing.
    """

    file: Path | None
    line: int | None
    field: str
    found: str
    expected: str
    fix: str
    edits: tuple[Edit, ...] = ()
    blocks: bool = True

    @property
    def place(self) -> str:
        """`FILE:LINE`, as far as known, or the part of the request."""
        if self.file is None:
            return "in the parameter 'config'"
        return f"{self.file}:{self.line}" if self.line is not None else str(self.file)

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.place, self.field) if part)
        return f"{where}: found {self.found}, expected {self.expected}; fix: {self.fix}"


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made; their places are those of the text as it is given.

    Raises:
        ValueError: the text does not have what an edit replaces.
    """
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for edit in sorted(edits, key=lambda edit: (edit.line, edit.column), reverse=True):
        start = starts[edit.line - 1] + edit.column - 1
        if not text.startswith(edit.old, start):
            raise ValueError(f"no {edit.old!r} on line {edit.line}, column {edit.column}")
        text = text[:start] + edit.new + text[start + len(edit.old) :]
    return text
