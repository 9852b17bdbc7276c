"""`python -m triton_cli` and the `tcli` console script."""

import io
import sys

from triton_cli.app import app


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            # A name or a sign that the terminal's encoding lacks is no reason to end with a traceback.
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="tcli")


if __name__ == "__main__":
    main()
