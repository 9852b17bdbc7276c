"""Which seeds the fuzz tests take: the same ones always, unless FUZZ_SEED asks for others."""

import os


def seeds(count: int, first: int = 1) -> list[int]:
    """So many of them, beginning FUZZ_SEED after the usual one."""
    begin = first + int(os.environ.get("FUZZ_SEED", "0"))
    return list(range(begin, begin + count))
