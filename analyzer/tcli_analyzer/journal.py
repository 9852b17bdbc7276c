"""Every measurement on disk as soon as it is made, so that an analysis that ended in the middle goes on where it was.

A file of JSON lines: first what is analyzed, then one line a visit. What a killed process left half-written at the end is cut off.
"""

import base64
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

try:
    import fcntl
except ImportError:  # Windows: two analyses in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]

from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.resources import GpuUse
from tcli_analyzer.target import Counters

VERSION = 1


_ENDED = "ended"
_LONGEST_END = 4096


class JournalError(Exception):
    """The file cannot be gone on with; the message says why and what to do."""


class AlreadyEndedError(Exception):
    """The analysis has come to its end before, and no more is wanted than that."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where windows come from.

    Attributes:
        variant: the label of the configuration.
        load: its label.
        stage: what it was measured for, such as "search" or "final"; may be empty.
        items: inferences in a request.
        windows: how many were asked for.
    """

    variant: str
    load: str
    stage: str
    items: int
    windows: int

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """What two visits of the same kind share."""
        return self.variant, self.load, self.stage, self.items, self.windows


@dataclass(frozen=True, slots=True)
class Record:
    """What a visit gave.

    Attributes:
        failure: why there are no windows.
    """

    origin: Origin
    windows: tuple[Window, ...]
    failure: str = ""


class Journal:
    """Open from `__enter__` until `__exit__`.

    Args:
        path: of the file.
        subject: what is analyzed, on which machine, as JSON values: measurements of another subject say nothing of this one.
        resume: go on with what is there; else begin anew.

    Attributes:
        records: all that were made, those of earlier runs first.
        ended: what `mark_ended` wrote behind the last of them; None where the analysis has not come to its end.

    Raises:
        JournalError: on entering, where it cannot be gone on with.
        OSError: on entering and writing.
    """

    def __init__(self, path: Path, subject: Mapping[str, Any], resume: bool) -> None:
        self._path = path
        self._subject = dict(subject)
        self._resume = resume
        self.records: list[Record] = []
        self.ended: str | None = None

    def __enter__(self) -> Self:
        exists = self._path.exists()
        if exists and not self._path.is_file():
            raise JournalError(f"{self._path} is no file: take it away, or choose another folder with --output")
        self._file: BinaryIO = self._path.open("r+b" if exists else "xb")
        try:
            self._lock()
            whole = self._read() if self._resume and exists else 0
            self._file.truncate(whole)
            self._file.seek(whole)
            if not whole:
                self._write({"tcli_journal": VERSION, "subject": self._subject})
        except BaseException:
            self._close()
            raise
        return self

    def _lock(self) -> None:
        """Two analyses that write one journal leave none of their measurements whole; the lock goes with the process."""
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(
                f"{self._path} is being written by another analysis: wait for its end, or choose another folder with --output"
            ) from None
        except OSError:  # a file system without locks
            return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def add(self, record: Record) -> None:
        """Keep a visit; when this returns it survives the end of this process, whatever ends it."""
        windows = [_document(window) for window in record.windows]
        self._write({"origin": asdict(record.origin), "windows": windows, "failure": record.failure})
        self.records.append(record)

    def _write(self, value: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def _close(self) -> None:
        with suppress(OSError):  # what could not be written is tried once more, and was told
            self._file.close()

    def _read(self) -> int:
        """Take what is there; gives the bytes that are whole lines, 0 where there is none: nothing was measured."""
        lines = self._lines()
        whole, header = next(lines, (0, None))
        if header is None:
            return 0
        if header.get("tcli_journal") != VERSION:
            raise JournalError(f"{self._path} is not of this version of tcli: start anew without --resume")
        for key, value in self._subject.items():
            subject = header.get("subject")
            found = subject.get(key) if isinstance(subject, dict) else None
            if found != value:
                raise JournalError(
                    f"{self._path} was measured with {key} = {json.dumps(found)}, now it is {json.dumps(value)}: its "
                    "measurements say nothing of this. Start anew without --resume"
                )
        for end, line in lines:
            whole, self.ended = end, None
            if isinstance(line.get(_ENDED), str):
                self.ended = line[_ENDED]
                continue
            try:
                windows = tuple(_window(window) for window in line["windows"])
                self.records.append(Record(Origin(**line["origin"]), windows, line["failure"]))
            except (AttributeError, KeyError, TypeError, ValueError, zlib.error) as error:
                raise JournalError(f"{self._path} is damaged ({error}): start anew without --resume") from None
        return whole

    def _lines(self) -> "Iterator[tuple[int, dict[str, Any]]]":
        """Each whole line and where it ends; a last one without an end was being written when the process ended."""
        end = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                try:
                    value = json.loads(line, parse_constant=_no_number)
                except ValueError:
                    raise JournalError(f"{self._path} is damaged: start anew without --resume") from None
                if not isinstance(value, dict):
                    raise JournalError(f"{self._path} is damaged: start anew without --resume")
                yield end, value


def mark_ended(path: Path, what: str) -> None:
    """Write behind all measurements that they were enough, and what came of them.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("ab") as file:
        file.write(json.dumps({_ENDED: what}).encode() + b"\n")


def ended_with(path: Path) -> str | None:
    """What `mark_ended` wrote behind the last measurement; None where the analysis has not come to its end.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_END))
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    try:
        value = json.loads(last)
    except ValueError:
        return None
    found = value.get(_ENDED) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _document(window: Window) -> dict[str, Any]:
    latencies = zlib.compress(window.latencies_ms.astype("<f4").tobytes())
    return {
        "began": window.began,
        "seconds": window.seconds,
        "latencies_ms": base64.b64encode(latencies).decode(),
        "counters": asdict(window.counters),
        "processor": asdict(window.processor) if window.processor is not None else None,
        "memory_mib": window.memory_mib,
        "gpu": asdict(window.gpu) if window.gpu is not None else None,
        "items": window.items,
        "late_ms": window.late_ms,
        "overloaded": window.overloaded,
        "sender_cores": window.sender_cores,
        "sent_share": window.sent_share,
        "flaw": window.flaw,
    }


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _check_numbers(values: Mapping[str, Any], names: Iterable[str] = ()) -> None:
    """That they can be counted with: what was damaged may still be JSON."""
    for name in names or values:
        value = values[name]
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name}: {json.dumps(value)[:40]}")


def _window(document: Mapping[str, Any]) -> Window:
    values = dict(document)
    _check_numbers(values, ("began", "seconds", "memory_mib", "items", "late_ms", "sender_cores", "sent_share"))
    if values["seconds"] <= 0 or values["items"] < 0:
        raise ValueError("a window without length")
    for part in ("counters", "processor", "gpu"):
        if values[part] is not None:
            _check_numbers({key: value for key, value in values[part].items() if value is not None})
    packed = zlib.decompress(base64.b64decode(values.pop("latencies_ms"), validate=True))
    return Window(
        latencies_ms=np.frombuffer(packed, "<f4").astype(np.float64),
        counters=Counters(**values.pop("counters")),
        processor=ProcessorTime(**processor) if (processor := values.pop("processor")) is not None else None,
        gpu=GpuUse(**gpu) if (gpu := values.pop("gpu")) is not None else None,
        **values,
    )
