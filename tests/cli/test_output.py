"""What commands print where it is not a wide UTF-8 terminal: narrow ones, pipes, other encodings."""

import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

import forked_command
from analysis_runs import write_fixed_model

pytestmark = pytest.mark.long

QUICK = (
    *("--measurement-interval", "10", "--max-time", "3s", "--search", "grid", "--batch-sizes", "4"),
    *("--concurrency", "1", "--instance-counts", "1"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("output")
    write_fixed_model(path / "model_repository")
    return path


@pytest.fixture(scope="module")
def piped(folder) -> str:
    """What an analysis in `folder` prints to a pipe; others go on with what it measured."""
    return tcli(folder, "analyze", "-m", "fixed", *QUICK, COLUMNS="40").stdout


def tcli(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return forked_command.run(*arguments, cwd=folder, environment=os.environ | environment)


def in_terminal(folder: Path, columns: int, *arguments: str) -> str:
    """What a command leaves in a terminal of so many columns."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "triton_cli", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=env):
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def result(shown: str) -> str:
    return shown[shown.index("Best configurations") : shown.index("config.pbtxt  ")]


@pytest.mark.usefixtures("piped")
def test_an_analysis_in_a_narrow_terminal_cuts_no_number(folder):
    shown = result(in_terminal(folder, 40, "analyze", "-m", "fixed", "--resume", *QUICK))
    assert "…" not in shown
    assert all(heading in shown for heading in ("batch", "inst", "load", "infer/s", "p99 ms"))
    assert "(now)" in shown


@pytest.mark.usefixtures("piped")
def test_an_analysis_in_a_wide_terminal_has_every_column(folder):
    shown = result(in_terminal(folder, 100, "analyze", "-m", "fixed", "--resume", *QUICK))
    assert all(heading in shown for heading in ("max batch", "instances", "load", "p50 ms", "avg batch", "clean"))
    assert "…" not in shown


def test_a_pipe_has_every_column_whatever_the_terminal(piped):
    shown = result(piped)
    assert all(heading in shown for heading in ("max batch", "instances", "load", "p50 ms", "avg batch", "clean"))
    assert "…" not in shown


@pytest.mark.usefixtures("piped")
def test_signs_that_the_encoding_lacks_are_escaped(folder):
    command = [sys.executable, "-m", "triton_cli", "analyze", "-m", "fixed", "--resume", *QUICK]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.isascii()
    assert "Traceback" not in ran.stderr


@pytest.mark.usefixtures("piped")
@pytest.mark.parametrize("arguments", [("repo", "list"), ("repo", "list", "--json"), ("repo", "check"), ("analyze",)])
def test_a_reader_that_has_enough_gets_no_traceback(folder, tmp_path, arguments):
    """And an analysis goes on: its results are written."""
    more = ("-m", "fixed", "--output", str(tmp_path), "--resume", *QUICK) if arguments == ("analyze",) else ()
    shutil.copy(folder / "analysis" / "fixed" / "journal.jsonl", tmp_path)
    command = [sys.executable, "-m", "triton_cli", *arguments, *more]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        errors = running.stderr.read()
    assert b"Traceback" not in errors
    assert errors == b""
    if more:
        assert running.returncode == 0
        assert (tmp_path / "results.csv").exists()


def test_a_model_that_is_not_there_gets_the_nearest_name(folder):
    ran = tcli(folder, "analyze", "-m", "fixd")
    assert ran.returncode == 1
    assert "did you mean 'fixed'? models there: fixed" in ran.stderr
    assert "repo init" not in ran.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize("options", [["backends"], ["backends", "--json"], ["repo", "list"], ["--help"]])
def test_a_full_disk_is_told_in_one_line(folder, options):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "triton_cli", *options]
        ran = subprocess.run(
            command, cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False
        )
    assert (ran.returncode, ran.stderr) == (1, "error: the output cannot be written: No space left on device\n")
