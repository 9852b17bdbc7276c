"""Starts processes that end with this one."""

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

_SPAWNER = ThreadPoolExecutor(1, "spawner")
"""Linux ends a worker with the *thread* that started it, so one thread starts them all and never ends."""


def spawn(
    command: Sequence[str], descriptors: Sequence[int], environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a process that inherits these descriptors; its output, errors included, is one pipe.

    Raises:
        OSError: it cannot be started.
    """
    return _SPAWNER.submit(
        subprocess.Popen,
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=descriptors,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the server, which has the last word
    ).result()
