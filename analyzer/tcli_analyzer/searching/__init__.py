"""Which configurations are measured under which loads, in search of the best: all of them, or those that a prediction leaves.

A search visits points through a bench and names leaders; what is claimed of them comes from the finals, never from the search.
"""

from typing import Protocol

from tcli_analyzer.bench import Bench
from tcli_analyzer.point import Point
from tcli_analyzer.searching.field import Field
from tcli_analyzer.searching.found import Failure, Found


class SearchWatch(Protocol):
    """Whoever follows a search."""

    def planned(self, points: int, of: int, seconds: float) -> None:
        """Told at the beginning, and when plans change: about so many points are measured of all there are, in about so long."""

    def measuring(self, what: str, seconds_left: float) -> None:
        """Told before each visit."""

    def measured(self, point: Point, seconds_left: float) -> None:
        """Told after each point."""

    def failed(self, failure: Failure) -> None:
        """Told of a configuration that cannot be measured."""

    def note(self, text: str) -> None:
        """Told what a user should know, such as that the search goes on in another way."""

    def goes_on(self) -> bool:
        """Asked before each visit; False ends the search with what there is."""


class Search(Protocol):
    """A way to search."""

    def run(self, field: Field, bench: Bench, watch: SearchWatch) -> Found:
        """Search.

        What the bench raises as `Stopped` ends the search with what there is, see `Found.stopped`.
        """
