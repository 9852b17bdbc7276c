"""Where the outputs of another model should land."""


class PreferredMemory:
    """A wish; here everything is in memory of the CPU."""
