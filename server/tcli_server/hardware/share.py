"""How many processes like this one share the machine."""

_processes = 1


def share_machine(processes: int) -> None:
    """Take one share of as many as there are processes of what is counted for all of them: memory, and a CPU quota.

    Called before anything asks for them, as what is asked is remembered. Cores are shared by affinity.
    """
    global _processes
    _processes = processes


def sharing_processes() -> int:
    """How many share it, 1 if nobody said anything."""
    return _processes
