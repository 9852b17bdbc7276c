"""What a model file says of the values that an input takes."""

from typing import NamedTuple


class ValueHint(NamedTuple):
    """Of an input of whole numbers.

    Attributes:
        high: values from 0 to this are taken, others are out of a table's bounds; -1 where no table says so.
        likely: values that the model compares the input with, so that it knows them: a sample rate, a kind.
    """

    high: int = -1
    likely: tuple[int, ...] = ()
