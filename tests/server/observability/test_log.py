"""The log's lines: Triton's form, its switches, a file."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from tcli_server.observability.log import LOG, LogOptions, configure_log

pytestmark = pytest.mark.usefixtures("log_of_its_own")


def log_all() -> None:
    LOG.debug("detail")
    LOG.info("news")
    LOG.warning("doubt")
    LOG.error("trouble")


def test_lines_look_like_triton_s(capsys: pytest.CaptureFixture[str]):
    configure_log(LogOptions())
    log_all()
    lines = capsys.readouterr().err.splitlines()
    assert [line[0] for line in lines] == ["I", "W", "E"]
    assert re.fullmatch(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} \d+ test_log\] news", lines[0])


def test_iso8601(capsys: pytest.CaptureFixture[str]):
    configure_log(LogOptions(format="ISO8601"))
    LOG.info("news")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ I \d+ test_log\] news\n", capsys.readouterr().err)


@pytest.mark.parametrize(("options", "shown"), [
    (LogOptions(verbose=1), ["detail", "news", "doubt", "trouble"]),
    (LogOptions(info=False), ["doubt", "trouble"]),
    (LogOptions(warning=False), ["news", "trouble"]),
    (LogOptions(error=False), ["news", "doubt"]),
], ids=["verbose", "no info", "no warning", "no error"])  # fmt: skip
def test_switches(capsys: pytest.CaptureFixture[str], options: LogOptions, shown: list[str]):
    configure_log(options)
    log_all()
    assert [line.rsplit("] ")[1] for line in capsys.readouterr().err.splitlines()] == shown


def test_a_file_is_appended_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "server.log"
    for text in ("one", "two"):
        configure_log(LogOptions(file=str(file)))
        LOG.info(text)
    assert [line.rsplit("] ")[1] for line in file.read_text().splitlines()] == ["one", "two"]
    assert capsys.readouterr().err == ""


FORMS = pytest.mark.parametrize("form", ["default", "ISO8601"])


@FORMS
def test_nothing_in_a_message_reaches_the_log_raw(capsys: pytest.CaptureFixture[str], form: Literal["default"]):
    configure_log(LogOptions(format=form))
    LOG.error("no model '%s'", "a\nE1123 é漢\r\x1b[2J\x00\x7f\x85\u2028\u202e\ud800c")
    written = capsys.readouterr().err
    assert written.endswith(r"] no model 'a\nE1123 é漢\r\x1b[2J\x00\x7f\x85\u2028\u202e\ud800c'" + "\n")
    assert len(written.splitlines()) == 1


@FORMS
def test_a_traceback_keeps_its_lines_and_none_of_them_looks_like_an_event(
    capsys: pytest.CaptureFixture[str], form: Literal["default"]
):
    configure_log(LogOptions(format=form))
    try:
        raise KeyError("x\x1b")
    except KeyError:
        LOG.exception("model '%s' failed", "m\n")
    try:
        raise ValueError("a\nE1123 09:15:01.000000 1 server] forged \x1b[0m")
    except ValueError:
        LOG.exception("again")
    first, *more = capsys.readouterr().err.split("\n")
    assert first.endswith(r"] model 'm\n' failed")
    assert more[0] == "  Traceback (most recent call last):"
    assert r"  E1123 09:15:01.000000 1 server] forged \x1b[0m" in more
    assert sum(not line.startswith("  ") for line in more if line) == 1  # "again"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full here")
def test_a_full_disk_costs_lines_and_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    link = tmp_path / "log"
    link.symlink_to("/dev/full")
    configure_log(LogOptions(file=str(link)))
    log_all()
    LOG.error("more")
    assert capsys.readouterr().err == f"cannot write {link}: No space left on device; lines are lost until it works\n"


def test_what_was_lost_is_told_once_writing_works_again(tmp_path: Path):
    """A size limit stands in for a disk that is full for a while."""
    code = """if 1:
        import resource, signal, sys
        from tcli_server.observability.log import LOG, LogOptions, configure_log
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        configure_log(LogOptions(file=sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        LOG.info("one"), LOG.info("two")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        LOG.info("three")"""
    file = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=60, check=True
    )
    assert [line.rsplit("] ")[1] for line in file.read_text().splitlines()] == [
        "2 lines before this one are lost",
        "three",
    ]
    assert done.stderr == f"cannot write {file}: File too large; lines are lost until it works\n"
