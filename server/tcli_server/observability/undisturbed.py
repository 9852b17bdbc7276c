"""Making very many objects for a moment without having Python look for garbage among all that a server holds."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections() -> Iterator[None]:
    """What is made here has no circles, so that nothing is gained by looking for those.

    Python looks through all objects of the process when many new ones came, and holds the interpreter meanwhile: with a thousand
    models more than a tenth of a second, for which every request waits.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
