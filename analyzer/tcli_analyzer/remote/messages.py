"""What goes to a generator's process besides what goes to a variant's."""

from dataclasses import dataclass

from tcli_analyzer.inputs import Source


@dataclass(frozen=True, slots=True)
class MakeRequestsFor:
    """Make the requests for the visits to come, which go over new connections; answered by their number.

    Attributes:
        config: complete configuration of what is loaded, serialized.
        items: inferences in each.
    """

    config: bytes
    source: Source
    items: int
