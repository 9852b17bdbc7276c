"""The output on its way: parts that are renamed into place, a journal of what they are of, and one file at last.

Beside `OUT` there is a folder `OUT.parts` until the job is done: `job.json` says what the job is, and each folder `00000012`
holds a part's rows, its refusals and where the data goes on. A folder is written under another name and renamed when all
of it is on the disk, so a part is there or it is not.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from tcli_batch.block import Cursor, Refusal
from tcli_batch.errors import JobError
from tcli_batch.outputs import Form, PartWriter
from tcli_batch.outputs.json_lines import concatenate
from tcli_batch.results import Results

ERRORS = ".errors.jsonl"
_DIGITS = 8


@dataclass(frozen=True)
class Progress:
    """What the parts hold.

    Attributes:
        after: where the data goes on.
    """

    rows: int = 0
    refused: int = 0
    after: Cursor = field(default_factory=Cursor)


class Parts:
    """The parts of one output.

    Args:
        out: the file that the job is to make.
    """

    def __init__(self, out: Path, form: Form) -> None:
        self.out = out
        self.errors = out.with_name(out.name + ERRORS)
        self._form = form
        self._folder = out.with_name(out.name + ".parts")
        self._next = 0
        self._lock: IO[bytes] | None = None

    @property
    def exist(self) -> bool:
        """Whether an unfinished job is there."""
        return (self._folder / "job.json").exists()

    def begin(self, journal: Mapping[str, Any]) -> None:
        """Begin anew.

        Raises:
            JobError: the folder cannot be made, or another process works at it.
        """
        with _explained(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._take()
            for entry in self._folder.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)
            written = self._folder / "job.json.new"
            with written.open("w", encoding="utf-8") as stream:
                json.dump(journal, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            written.replace(self._folder / "job.json")
            _sync_folder(self._folder)

    def resume(self, journal: Mapping[str, Any]) -> Progress:
        """Go on with what is there.

        Raises:
            JobError: it is of another job; says what differs. Or another process works at it.
        """
        with _explained(self._folder):
            self._take()
            try:
                before = json.loads((self._folder / "job.json").read_text(encoding="utf-8"))
            except ValueError:
                raise JobError(f"'{self._folder}/job.json' is damaged", "--overwrite begins anew") from None
            difference = _difference(before, json.loads(json.dumps(journal)))
            if difference:
                raise JobError(
                    f"'{self.out}' cannot be gone on with: {difference}",
                    "--overwrite begins anew",
                )
            rows = refused = 0
            after = Cursor()
            for folder in self._committed():
                part = json.loads((folder / "part.json").read_text(encoding="utf-8"))
                rows, refused = rows + part["rows"], refused + part["refused"]
                after = Cursor(**part["after"])
                self._next += 1
            for entry in self._folder.glob("*.new"):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return Progress(rows, refused, after)

    def part(self) -> "Part":
        """Begin the next part.

        Raises:
            JobError: it cannot be made.
        """
        name = f"{self._next:0{_DIGITS}}"
        self._next += 1
        with _explained(self._folder):
            return Part(self._folder / f"{name}.new", self._folder / name, self._form)

    def finish(self) -> None:
        """Make the output of the parts, and take them away.

        Raises:
            JobError: the disk is full, or the like; the parts stay.
        """
        folders = list(self._committed())
        rows = [folder / "rows" for folder in folders if (folder / "rows").exists()]
        refusals = [folder / "errors.jsonl" for folder in folders if (folder / "errors.jsonl").exists()]
        with _explained(self.out):
            written, told = self._folder / "whole.new", self._folder / "errors.new"
            self._form.merge(rows, written)
            if refusals:
                concatenate(refusals, told)
                told.replace(self.errors)
            else:
                self.errors.unlink(missing_ok=True)
            written.replace(self.out)
            _sync_folder(self.out.parent)
            shutil.rmtree(self._folder)
        self.close()

    def close(self) -> None:
        """Let others work at it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _committed(self) -> Iterator[Path]:
        number = 0
        while (folder := self._folder / f"{number:0{_DIGITS}}").is_dir():
            yield folder
            number += 1

    def _take(self) -> None:
        """Keep other processes away, where the system has locks that end with their process."""
        try:
            import fcntl
        except ImportError:
            return
        self._lock = (self._folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise JobError(f"another process writes '{self.out}'", "wait for it, or write another file") from None


class Part:
    """One part being written.

    Attributes:
        whole: whether all that was added is in it; not where adding was interrupted.
    """

    def __init__(self, folder: Path, place: Path, form: Form) -> None:
        self._folder, self._place, self._form = folder, place, form
        folder.mkdir()
        self._writer: PartWriter | None = None
        self._errors: IO[bytes] | None = None
        self._after = Cursor()
        self._rows = self._refused = 0
        self.whole = False

    def add(self, results: Results, refusals: "list[Refusal]", after: Cursor) -> None:
        """Add rows, and those that have no answer.

        Raises:
            JobError: they cannot be written.
        """
        self.whole = False
        with _explained(self._place):
            if len(results):
                if self._writer is None:
                    self._writer = self._form.part(self._folder / "rows")
                self._writer.write(results)
            if refusals and self._errors is None:
                self._errors = (self._folder / "errors.jsonl").open("wb")
            for refusal in refusals:
                assert self._errors is not None
                self._errors.write(orjson.dumps(asdict(refusal), option=orjson.OPT_APPEND_NEWLINE))
        self._rows += len(results)
        self._refused += len(refusals)
        self._after = after
        self.whole = True

    @property
    def size(self) -> int:
        """Bytes on the disk, about."""
        with contextlib.suppress(OSError):
            return sum(entry.stat().st_size for entry in self._folder.iterdir())
        return 0

    def commit(self) -> None:
        """Rename it into place; from then on it is there whatever happens.

        Raises:
            JobError: it cannot be written to its end.
        """
        with _explained(self._place):
            if self._writer is not None:
                self._writer.close()
            if self._errors is not None:
                with self._errors as stream:
                    stream.flush()
                    os.fsync(stream.fileno())
            with (self._folder / "part.json").open("w", encoding="utf-8") as described:
                json.dump({"rows": self._rows, "refused": self._refused, "after": asdict(self._after)}, described)
                described.flush()
                os.fsync(described.fileno())
            _sync_folder(self._folder)
            self._folder.rename(self._place)
            _sync_folder(self._place.parent)


def _difference(before: Any, now: Any) -> str:
    """What the journals do not agree in, for the person who asked; empty where they do."""
    for key, value in now.items():
        was = before.get(key)
        if was == value:
            continue
        if key != "files":
            return f"{key.replace('_', ' ')} was {_shown(was)} and is {_shown(value)}"
        old = {file["name"]: file for file in was or ()}
        new = {file["name"]: file for file in value}
        for name in new.keys() | old.keys():
            if name not in old:
                return f"'{name}' was not among its data"
            if name not in new:
                return f"'{name}' was among its data"
            if old[name] != new[name]:
                return f"'{name}' has changed since"
        return "its data came in another order"
    return ""


def _shown(value: Any) -> str:
    return json.dumps(value) if value not in (None, "") else "not given"


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise JobError(
            f"'{path}' cannot be written: {problem.strerror or problem}",
            "what is done so far is kept: --resume goes on from there",
        ) from None


def _sync_folder(folder: Path) -> None:
    """What was renamed in it stays so when the machine loses power, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
