"""The process at the other end of `no_chatter`: passes lines on to stderr, but for what TensorFlow says of itself.

Started by its path, with nothing but the standard library, so that it takes a few milliseconds.
"""

import re
import signal
import sys

_NOTE = re.compile(rb"I\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\] ")
_PREFACE = b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR"
_GOES_ON = b"To enable the following instructions"
"""The second line of a note on the processor."""


def main() -> None:
    """Filter stdin."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever stops everything means the other process
        signal.signal(number, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        if not (_NOTE.match(line) or line.startswith((_PREFACE, _GOES_ON))):
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()


if __name__ == "__main__":
    main()
