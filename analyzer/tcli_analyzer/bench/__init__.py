"""Where configurations of a model are loaded and put under load: processes of this machine, or a server somewhere.

Searches, finals and the search for a rate measure through this interface and know nothing else of the place:

    windows = bench.visit(configuration, ClosedLoad(8), VisitOptions(windows=3))
"""

from collections.abc import Sequence
from typing import Protocol

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window


class CannotMeasureError(Exception):
    """A configuration does not load, does not run, or ended its process. A result like any other; the message is the reason."""


class Bench(Protocol):
    """One model, in one of many configurations at a time."""

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:
        """Load the configuration if it is not loaded, and measure, see `measuring.visit.visit`.

        Raises:
            CannotMeasureError: it cannot be measured.
            Stopped: the user asked to stop.
        """

    def hold(self, configurations: Sequence[Configuration]) -> None:
        """Say what is measured in turn from now on: as many of it as can be stay loaded, and what is not among them goes first."""
