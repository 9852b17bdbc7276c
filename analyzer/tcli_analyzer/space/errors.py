"""What is wrong with a space that somebody asked for."""


class SpaceError(Exception):
    """It cannot be searched.

    Attributes:
        field: which dimension, as in `Space`; empty for the space as a whole.
        fix: what to do.
    """

    def __init__(self, message: str, fix: str, field: str = "") -> None:
        super().__init__(message)
        self.fix = fix
        self.field = field
