"""`pb_utils.Logger`: a model's lines in the server's log."""

import inspect
import os
import re
from collections.abc import Iterator

import pytest

from tcli_server.backends.python.stub import link
from tcli_server.backends.python.stub.pb_utils import Logger
from tcli_server.observability.log import LOG, LogOptions, configure_log

pytestmark = pytest.mark.usefixtures("wire")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before, level, propagate = list(LOG.handlers), LOG.level, LOG.propagate
    LOG.handlers.clear()
    yield
    LOG.handlers[:], LOG.propagate = before, propagate
    LOG.setLevel(level)


def here() -> int:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_lines_have_the_model_s_name_and_the_caller_s_place(capsys: pytest.CaptureFixture[str]):
    configure_log(LogOptions())
    line = here()
    Logger.log_info("one")
    Logger.log_warn("two")
    Logger.log_error("three")
    Logger.log("four")
    Logger.log("five", Logger.ERROR)
    Logger.log(message="six", level=Logger.WARNING)
    written = capsys.readouterr().err.splitlines()
    assert [text[0] for text in written] == ["I", "W", "E", "I", "E", "W"]
    pattern = rf"[IWE]\d{{4}} \S+ {os.getpid()} test_logger\.py:(\d+)\] words: (\w+)"
    found = [re.fullmatch(pattern, text) for text in written]
    assert [match and match[2] for match in found] == ["one", "two", "three", "four", "five", "six"]
    assert [match and int(match[1]) for match in found] == list(range(line + 1, line + 7))


def test_verbose_lines_need_verbose_and_switches_count(capsys: pytest.CaptureFixture[str]):
    for options, shown in ((LogOptions(info=False), ["W"]), (LogOptions(verbose=1, warning=False), ["I", "I"])):
        configure_log(options)
        Logger.log_verbose("detail")
        Logger.log_info("news")
        Logger.log_warn("doubt")
        assert [text[0] for text in capsys.readouterr().err.splitlines()] == shown


def test_no_line_of_a_text_looks_like_another_event(capsys: pytest.CaptureFixture[str]):
    configure_log(LogOptions())
    Logger.log_info("first\nI0101 00:00:00.000000 1 server] forged\n\n\x1b[31mred")
    Logger.log_info("")
    written = [text.partition("] ")[2] for text in capsys.readouterr().err.splitlines()]
    assert written == [
        "words: first", "words: I0101 00:00:00.000000 1 server] forged", "words: ", "words: \\x1b[31mred", "words: ",
    ]  # fmt: skip


@pytest.mark.parametrize("message", [None, 3, b"bytes"])
def test_messages_are_texts(message: object):
    for log in (Logger.log, Logger.log_info, Logger.log_warn, Logger.log_error, Logger.log_verbose):
        with pytest.raises(TypeError, match="message: expected a str, found"):
            log(message)  # type: ignore[arg-type]


def test_levels_are_the_logger_s():
    for level in (1, "INFO", None):
        with pytest.raises(TypeError, match=r"level: expected one of Logger's levels such as Logger\.INFO"):
            Logger.log("text", level)  # type: ignore[arg-type]


def test_without_a_server_lines_go_to_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(link, "_link", None)
    Logger.log_warn("nobody reads along")
    assert re.fullmatch(rf"WARNING {re.escape(__file__)}:\d+\] nobody reads along\n", capsys.readouterr().err)
