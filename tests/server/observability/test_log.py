"""The log's lines: Triton's form, its switches, a file."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcli_server.observability.log import LOG, LogOptions, configure_log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before, level, propagate = list(LOG.handlers), LOG.level, LOG.propagate
    LOG.handlers.clear()
    yield
    for handler in LOG.handlers:
        handler.close()
    LOG.handlers[:], LOG.propagate = before, propagate
    LOG.setLevel(level)


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


def test_further_lines_of_a_message_are_indented(capsys: pytest.CaptureFixture[str]):
    configure_log(LogOptions())
    LOG.error("first\nI1123 second")
    assert capsys.readouterr().err.endswith("] first\n  I1123 second\n")
