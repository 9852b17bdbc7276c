"""Who is named as a disturber: other programs, never what is measured."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tcli_analyzer.evidence.neighbours import Neighbours
from waiting import until

START = """
import subprocess, sys
busy = [sys.argv[1], "-c", "while True: pass"]
print(subprocess.Popen(busy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)
"""


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[psutil.Process]:
    """A busy process that is nobody's child here, and of a name that nobody else has."""
    program = tmp_path / "a stranger"
    program.symlink_to(sys.executable)
    command = [sys.executable, "-c", START, str(program)]
    started = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    process = psutil.Process(int(started.stdout))
    yield process
    os.kill(process.pid, signal.SIGKILL)


def works(process: psutil.Process, seconds: float) -> None:
    """Wait until it has used so much more processor time."""
    until_then = process.cpu_times().user + seconds
    until(lambda: process.cpu_times().user > until_then)


def test_a_busy_stranger_is_named(stranger: psutil.Process):
    neighbours = Neighbours()
    works(stranger, 0.6)
    neighbours.look(counts=True)
    assert stranger.name() in dict(neighbours.busiest())


def test_a_server_that_is_measured_does_not_disturb(stranger: psutil.Process):
    neighbours = Neighbours(lambda: [stranger.pid])
    works(stranger, 0.6)
    neighbours.look(counts=True)
    assert stranger.name() not in neighbours.seconds
