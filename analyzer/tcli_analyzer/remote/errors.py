"""Why a model on a server cannot be analyzed, or not any more.

RemoteError
├── ForeignChangeError   somebody else changed the model meanwhile
└── ServerGoneError      the server ended, and did not come back
"""


class RemoteError(Exception):
    """Nothing can be measured there; the message says why.

    Attributes:
        fix: what to do about it; empty where the message says it all.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class ForeignChangeError(RemoteError):
    """Somebody else changed the model while it was analyzed."""


class ServerGoneError(RemoteError):
    """The server ended, and did not come back in time."""
