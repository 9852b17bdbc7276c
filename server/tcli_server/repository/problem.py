"""One thing that is wrong in a model repository, told so that it can be put right."""

from dataclasses import dataclass
from pathlib import Path


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
        blocks: whether the model cannot be served before it is put right; else it is only worth knowing.
    """

    file: Path | None
    line: int | None
    field: str
    found: str
    expected: str
    fix: str
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
