"""The end of this process, as a model means it by `sys.exit` or what else is no `Exception`."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import NoReturn


def end_process(error: BaseException) -> NoReturn:
    """End at once, as Python would with this error in the main thread.

    Nothing is unwound: the senders of what the model was running would say that it let go of the requests, and so would
    those of requests that it has not even begun.
    """
    status: object = 1
    if isinstance(error, SystemExit):
        status = 0 if error.code is None else error.code
        if not isinstance(status, int):
            print(status, file=sys.stderr)
    else:
        traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the model has closed it
            stream.flush()
    os._exit(status if isinstance(status, int) else 1)
