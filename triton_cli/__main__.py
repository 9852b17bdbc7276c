"""`python -m triton_cli` and the `tcli` console script."""

import io
import os
import signal
import sys

EXIT_INTERRUPTED = 130
"""As of `signals`, which is not loaded yet when it is needed."""


def main() -> None:
    if os.getpid() == 1:
        # As a container's first process: the kernel drops a signal that has no handler, and `serve` has its own only after its imports.
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    _fill_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            # A name or a sign that the terminal's encoding lacks is no reason to end with a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        _run()
    except KeyboardInterrupt:  # before a command that would notice it is loaded
        sys.exit(EXIT_INTERRUPTED)


def _fill_standard_descriptors() -> None:
    """Whoever closes stdin, stdout or stderr for a command wants nothing there; the next file to be opened would take its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _run() -> None:
    from triton_cli.app import app
    from triton_cli.console import is_of_output, out, silence

    try:
        app(prog_name="tcli")
    except OSError as problem:
        if not is_of_output(problem):
            raise
        silence(out())
        print(f"error: the output cannot be written: {problem.strerror}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
