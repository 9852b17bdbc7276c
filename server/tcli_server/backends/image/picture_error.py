"""Why a picture is not decoded."""

from tcli_server.errors import InvalidArgumentError


class PictureError(InvalidArgumentError):
    """The bytes are no picture that is read here; says what they are, and what to do.

    Args:
        found: "the picture is truncated: ...".
        fix: what the sender can do.
    """

    def __init__(self, found: str, fix: str = "") -> None:
        super().__init__(f"{found}; fix: {fix}" if fix else found)
