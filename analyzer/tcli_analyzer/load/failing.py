"""How a load ends before its time."""


class LoadFailedError(Exception):
    """A request of the load failed; the message is the server's."""


class StuckError(LoadFailedError):
    """No answer comes any more: none is worth waiting for, not even at the end of the load."""
