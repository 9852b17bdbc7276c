"""How much of the memory what clients send may take."""

_LARGE_BODY = 1 << 16


class ByteBudget:
    """Bytes of requests that all connections of a port may hold together. For one thread: the loop's.

    Args:
        size: bytes in all.
    """

    __slots__ = ("_size", "freed", "held", "promised")

    def __init__(self, size: int) -> None:
        self._size = size
        self.held = 0
        self.promised = 0
        """Bytes for which there is room in one piece, whether they have come or not."""
        self.freed = 0
        """Bytes of large bodies released so far, which tells when there is memory to give back."""

    def reserve(self, count: int) -> bool:
        """Take `count` bytes; False if there is no room for them, and nothing is taken then."""
        held = self.held + count
        if held > self._size:
            return False
        self.held = held
        return True

    def promise(self, count: int) -> bool:
        """Have room made for `count` bytes that may never come; False if there is too much of that already.

        Who does so takes them from `promised` again once they have come, or will not.
        """
        promised = self.promised + count
        if promised > self._size:
            return False
        self.promised = promised
        return True

    def release(self, count: int) -> None:
        """Give back what was reserved."""
        self.held -= count
        if count > _LARGE_BODY:
            self.freed += count
