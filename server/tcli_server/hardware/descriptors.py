"""How many files and sockets this process may have open."""

import sys


def usable_descriptors() -> int:
    """The soft limit on open descriptors (`ulimit -n`); where the system has none, a number that is never reached."""
    if sys.platform == "win32":
        return sys.maxsize
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
