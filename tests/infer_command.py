"""`tcli infer` as a process of its own, for the tests."""

import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "triton_cli", "infer"]


def infer(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
