"""How many connections a process that asks a server may have open."""

from contextlib import suppress

from tcli_client import Address

MOST_CONNECTIONS = 4_096
_OTHER_FILES = 200


def allow_connections() -> None:
    """Let this process open as many connections as it may allow itself: shells often start it with 1,024 files."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _OTHER_FILES
    if 0 <= files < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if most < 0 else min(wanted, most), most))


def most_connections(allowed: bool = False) -> int:
    """How many this process may open.

    Args:
        allowed: as many as after `allow_connections`, here or in a process that this one starts.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MOST_CONNECTIONS
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed:
        files = most
    return MOST_CONNECTIONS if files < 0 else max(1, min(MOST_CONNECTIONS, files - _OTHER_FILES))


def connections_note(address: Address, concurrency: int) -> str:
    """What a reader of a measurement with so many outstanding requests must know; empty where that is nothing."""
    most = most_connections(allowed=True)
    if address.protocol != "http" or concurrency <= most:
        return ""
    more = "" if most == MOST_CONNECTIONS else "allow this user more open files, or "
    return (
        f"of {concurrency} requests at once {most} are at the server, each over an HTTP connection of its own: there may be no "
        f"more, and the others wait in the load generator; {more}ask over gRPC (-i grpc)"
    )
