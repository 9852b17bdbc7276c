"""How many processes like this one share the machine."""

_processes = 1
_cores: int | None = None


def share_machine(processes: int, cores: int | None = None) -> None:
    """Take one share of as many as there are processes of what is counted for all of them: memory, and a CPU quota.

    Called before anything asks for them, as what is asked is remembered. Cores are shared by affinity, or given out by
    somebody else.

    Args:
        cores: those that this process was given, where its affinity does not say so.
    """
    global _processes, _cores
    _processes, _cores = processes, cores


def sharing_processes() -> int:
    """How many share it, 1 if nobody said anything."""
    return _processes


def given_cores() -> int | None:
    """How many cores this process was given, None if nobody said anything."""
    return _cores
