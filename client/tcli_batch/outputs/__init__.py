"""The forms that results are written in; each is a file of its own, first in parts, then whole."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tcli_batch.results import Results
from tcli_batch.signature import Tensor


class PartWriter(ABC):
    """One part, being written."""

    @abstractmethod
    def write(self, results: Results) -> None:
        """Add rows, one at least.

        Raises:
            OSError: the disk is full, or the like.
        """

    @abstractmethod
    def close(self) -> None:
        """All rows are there; the file is on the disk."""


class Form(ABC):
    """One form of file.

    Attributes:
        suffix: of such files.
    """

    suffix: str

    def check(self, tensors: Sequence[Tensor]) -> None:  # noqa: B027  most forms take all
        """Refuse outputs that this form cannot hold.

        Raises:
            DataError: says which, and what could.
        """

    @abstractmethod
    def part(self, path: Path) -> PartWriter:
        """Begin a part."""

    @abstractmethod
    def merge(self, parts: Sequence[Path], path: Path) -> None:
        """Make one file of parts; memory does not grow with them. Without parts, a file without rows.

        Raises:
            JobError: they do not go together.
        """
