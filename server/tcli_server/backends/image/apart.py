"""Decodes the largest WebP files in a process of their own.

Pillow copies what libwebp gives, four bytes a pixel, while no other thread of the process runs: half a second for 64 million
pixels. No other format has that.
"""

import os
import pickle
import signal
import subprocess
import sys

import numpy as np

from tcli_server.backends.image.decoding import decode
from tcli_server.backends.image.formats import WEBP, picture_format, webp_size
from tcli_server.backends.image.parameters import Plan
from tcli_server.backends.image.picture_error import PictureError
from tcli_server.backends.image.pixels import Pixels
from tcli_server.errors import InternalError

FEW_PIXELS = 1 << 23
"""So many hold the others up for some 50 ms."""

_PROGRAM = "from tcli_server.backends.image.apart import main; main()"
_DONE, _REFUSED = b"\1", b"\2"


def is_for_apart(content: bytes, plan: Plan) -> bool:
    """Whether a picture holds up all others if it is decoded in this process; those that are refused anyway do not.

    Raises:
        PictureError: it is a WebP without a size.
    """
    if content[8:12] != b"WEBP" or picture_format(content) != WEBP or len(content) > plan.max_bytes:
        return False
    width, height = webp_size(content)
    return FEW_PIXELS < width * height <= plan.max_pixels


def write_apart(content: bytes, plan: Plan, into: np.ndarray) -> None:
    """Fill an array of the plan's shape with a picture, as `decode` and `Pixels.write` do.

    Raises:
        PictureError: as they do.
        InternalError: it is not the picture's fault: the process did not start, or broke.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=pickle.dumps((plan, content)),
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the server, which waits for this
            check=False,
        )
    except OSError as error:
        raise InternalError(f"no process could be started to decode a large WebP: {error.strerror or error}") from error
    kind, answer = done.stdout[:1], done.stdout[1:]
    if done.returncode == -signal.SIGKILL:  # the kernel ends a process that takes too much memory so
        raise PictureError("the picture does not fit into the server's memory", "make it smaller")
    if done.returncode or kind not in (_DONE, _REFUSED):
        raise InternalError(f"the process that decodes large WebPs ended with status {done.returncode} and no answer")
    if kind == _REFUSED:
        raise PictureError(answer.decode())
    into[...] = np.frombuffer(answer, into.dtype).reshape(into.shape)


def main() -> None:
    """The other process: a plan and a picture on stdin, its pixels or what is wrong with it on stdout."""
    plan, content = pickle.load(sys.stdin.buffer)
    pixels = Pixels(plan)
    array = np.empty(plan.shape, pixels.dtype)
    try:
        pixels.write(decode(content, plan), array)
    except PictureError as error:
        answer = _REFUSED + str(error).encode()
    else:
        answer = _DONE + array.tobytes()
    sys.stdout.buffer.write(answer)
