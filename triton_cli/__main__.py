"""`python -m triton_cli` and the `tcli` console script."""

import io
import os
import sys

from triton_cli.app import app
from triton_cli.console import is_of_output


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            # A name or a sign that the terminal's encoding lacks is no reason to end with a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="tcli")
    except OSError as problem:
        if not is_of_output(problem):
            raise
        # What is still to be written would only fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"error: the output cannot be written: {problem.strerror}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
