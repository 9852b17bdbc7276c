"""The forms that results are written in; each is a file of its own, first in parts, then whole."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tcli_batch.errors import DataError
from tcli_batch.results import Results
from tcli_batch.signature import Tensor
from tcli_client.tensors import datatype_of

SOURCE, INDEX = "source", "index"
COPIED_BYTES = 1 << 20


@dataclass(frozen=True)
class Layout:
    """What each row has, as the model's metadata says it before there is any.

    Attributes:
        outputs: of the model.
        raw: whether their tensors are written.
        classes: output -> the most classes that are written of a row.
    """

    outputs: tuple[Tensor, ...] = ()
    raw: bool = True
    classes: Mapping[str, int] = field(default_factory=dict)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Those that are written."""
        return self.outputs if self.raw else ()

    def output(self, name: str) -> Tensor:
        """The output of that name."""
        return next(tensor for tensor in self.outputs if tensor.name == name)

    def check(self, results: Results) -> None:
        """Look whether rows are as the layout says.

        Raises:
            DataError: the model answers with something else than its metadata says.
        """
        names = [tensor.name for tensor in self.tensors]
        if sorted(results.tensors) != sorted(names):
            raise DataError(
                f"the model gave the outputs {', '.join(results.tensors) or 'none'}; its metadata says {', '.join(names)}",
                "write to .jsonl, which takes any",
            )
        for tensor in self.tensors:
            array = results.tensors[tensor.name]
            sides = array.shape[1:]
            fits = len(sides) == len(tensor.dims) and all(
                want in (-1, side) for side, want in zip(sides, tensor.dims, strict=True)
            )
            if not fits or datatype_of(array) != tensor.datatype:
                raise DataError(
                    f"'{results.sources[0]}' row {int(results.indices[0])}: output '{tensor.name}' is {datatype_of(array)} "
                    f"{list(sides)}; the model's metadata says {tensor.datatype} {list(tensor.dims)}",
                    "write to .jsonl, which takes any",
                )


class PartWriter(ABC):
    """One part, being written."""

    @abstractmethod
    def write(self, results: Results) -> None:
        """Add rows, one at least.

        Raises:
            OSError: the disk is full, or the like.
        """

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes written so far."""

    @abstractmethod
    def close(self) -> None:
        """All rows are there; the file is on the disk.

        Raises:
            OSError: the disk is full, or the like.
        """


class Form(ABC):
    """One form of file.

    Attributes:
        layout: of the rows; set before anything is written.
    """

    layout = Layout()

    def begin(self, layout: Layout) -> None:
        """Say what the rows will be.

        Raises:
            DataError: this form cannot hold them; says which output, and what could.
        """
        self.layout = layout

    def check(self, results: Results) -> None:  # noqa: B027  most forms take all
        """Look at rows before they are written.

        Raises:
            DataError: this form cannot hold them.
        """

    def after(self, part: Path) -> None:  # noqa: B027  most forms need not know
        """Go on after a part that was written before.

        Raises:
            OSError, ValueError: it cannot be read.
        """

    @abstractmethod
    def part(self, path: Path) -> PartWriter:
        """Begin a part.

        Raises:
            OSError: it cannot be made.
        """

    @abstractmethod
    def merge(self, parts: Sequence[Path], path: Path) -> None:
        """Make one file of parts; memory does not grow with them. Without parts, a file without rows.

        Raises:
            OSError: the disk is full, or the like.
            JobError: the parts do not go together.
        """


class TableForm(Form):
    """A form with a column for each output: rows must be as the model's metadata says."""

    def begin(self, layout: Layout) -> None:
        super().begin(layout)
        if not layout.tensors and not layout.classes:
            raise DataError("the server does not say which outputs the model has", "write to .jsonl, which takes any")
        columns = self.columns()
        twice = next((name for place, name in enumerate(columns) if name in columns[:place]), None)
        if twice is not None:
            raise DataError(f"there would be two columns '{twice}'", "write to .jsonl, where outputs are apart")

    def check(self, results: Results) -> None:
        self.layout.check(results)

    @abstractmethod
    def columns(self) -> list[str]:
        """Their names in order, `source` and `index` first."""


def sync(stream: IO[bytes]) -> None:
    """What was written to a file is on the disk."""
    stream.flush()
    os.fsync(stream.fileno())
