"""What was measured of one configuration under one load."""

from dataclasses import dataclass

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.window import Windows


@dataclass(frozen=True)
class Point:
    """One configuration under one load, measured.

    Attributes:
        windows: all of them, disturbed ones among them.
        same: configurations that run the same way under this load, so that the measurement is theirs, too.
    """

    configuration: Configuration
    load: Load
    windows: Windows
    same: tuple[Configuration, ...] = ()

    @property
    def items(self) -> int:
        """Inferences in a request."""
        return self.windows.windows[0].items if self.windows.windows else 1

    @property
    def measured(self) -> Windows:
        """What to read values from: the clean windows; all of them where none is clean."""
        clean = self.windows.clean
        return clean if clean.windows else self.windows

    @property
    def is_clean(self) -> bool:
        """Whether a value of it may be claimed."""
        return bool(self.windows.clean.windows)

    @property
    def flaw(self) -> str:
        """Why it shows something else than the model, see `Windows.flaw`: nothing is ranked by it then."""
        return self.windows.flaw

    @property
    def place(self) -> str:
        """Which point it is, such as "batch 4, 1 instance, concurrency 8"."""
        items = f", {self.items} items a request" if self.items > 1 else ""
        return f"{self.configuration.label}, {self.load.label}{items}"
