"""What is special about PyTorch's files while they are added to a repository."""

from pathlib import Path

from tcli_server.backends.handling import Handling
from tcli_server.backends.pytorch.archive import read_format


class PyTorchHandling(Handling):
    """A checkpoint, which holds weights only, is told without PyTorch."""

    def check(self, path: Path) -> None:
        """As `Handling.check`."""
        read_format(path)
