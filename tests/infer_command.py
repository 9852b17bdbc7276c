"""`tcli infer` as a process of its own, for the tests."""

import subprocess
import sys
from pathlib import Path

import forked_command

COMMAND = [sys.executable, "-m", "triton_cli", "infer"]


def infer(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked_command.run("infer", *arguments, cwd=folder)
