"""The process at the other end of `NativeLog`'s pipe: reads stdin until nobody can write to it any more.

Started by its path, with nothing but the standard library, so that it takes a few milliseconds and a few MB.
"""

import importlib.util
import json
import logging
import os
import re
import select
import signal
import sys
from pathlib import Path
from types import ModuleType

_QUIET_SECS = 0.1
"""After so long without more, the start of a line is passed on as it is."""

_LONGEST_RECORD = 1 << 20

_STAMP = rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \[([VIWEF]):(\w+):"
_COLOURED = re.compile(rb"\x1b\[[0-9;]*m" + _STAMP + rb"[^,\n]*, (.*?)\x1b\[m\n?", re.DOTALL)
_PLAIN = re.compile(_STAMP + rb"[^,\n]*, (.*)\n")
_COLOURED_HEAD = re.compile(rb"\x1b\[[0-9;]*m" + _STAMP)
_LEVELS = {
    b"V": logging.DEBUG,
    b"I": logging.INFO,
    b"W": logging.WARNING,
    b"E": logging.ERROR,
    b"F": logging.CRITICAL,
}


def main(options: str) -> None:
    """Filter stdin.

    Args:
        options: a LogOptions as JSON.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever stops everything means the server
        signal.signal(number, signal.SIG_IGN)
    log = _load(Path(__file__).with_name("log.py"))
    chosen = json.loads(options)
    try:
        log.configure_log(log.LogOptions(**chosen))
    except OSError:  # the server opened it a moment ago
        log.configure_log(log.LogOptions(**{**chosen, "file": ""}))
    pending = b""
    while True:
        quiet = pending and not select.select([0], [], [], _QUIET_SECS)[0]
        chunk = b"" if quiet else os.read(0, 1 << 16)
        pending = _pass_on(log.LOG, pending + chunk, whole=not chunk)
        if not chunk and not quiet:
            return


def _pass_on(log: logging.Logger, text: bytes, whole: bool) -> bytes:
    """Log or write out the records and lines of a text; what is not complete yet is returned, unless it is `whole`."""
    while text:
        record = _COLOURED.match(text) or _PLAIN.match(text)
        if record is not None:
            _log(log, *record.groups())
            text = text[record.end() :]
            continue
        end = text.find(b"\n") + 1
        head = _COLOURED_HEAD.search(text, 0, end or len(text))
        open_record = head is not None and head.start() == 0 and len(text) < _LONGEST_RECORD
        if head is not None and head.start() > 0:
            end = head.start()
        if not whole and (open_record or not end):
            return text
        end = end or len(text)
        _write(text[:end])
        text = text[end:]
    return b""


def _log(log: logging.Logger, severity: bytes, library: bytes, text: bytes) -> None:
    """`text` is `FILE:LINE FUNCTION] MESSAGE`."""
    message = text.decode(errors="backslashreplace").strip()
    record = log.makeRecord(log.name, _LEVELS[severity], library.decode(), 0, "[%s", (message,), None)
    if log.isEnabledFor(record.levelno):
        log.handle(record)


def _write(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(2, data) :]
        except OSError:  # nobody reads it any more
            return


def _load(file: Path) -> ModuleType:
    """A neighbour, without the package that it is in, which would load the whole server."""
    spec = importlib.util.spec_from_file_location("tcli_log", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(sys.argv[1])
