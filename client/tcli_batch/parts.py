"""The output on its way: parts that are renamed into place, a journal of what they are of, and one file at last.

Beside `OUT` there is a folder `OUT.parts` until the job is done: `job.json` says what the job is, and each folder `00000012`
holds a part's rows, its refusals and where the data goes on. A folder is written under another name and renamed when all
of it is on the disk, so a part is there or it is not. At the end the parts become `OUT`, which takes as much room once more;
`OUT` and `OUT.errors.jsonl` are renamed into place, and only then the parts go, `job.json` first.
"""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from tcli_batch.block import Cursor, Refusal
from tcli_batch.errors import JobError
from tcli_batch.folder_lock import FolderLock
from tcli_batch.outputs import Form, PartWriter, sync
from tcli_batch.outputs.lines import concatenate
from tcli_batch.outputs.rendering import json_text
from tcli_batch.results import Results

ERRORS = ".errors.jsonl"
_JOB, _PART, _ROWS, _REFUSALS = "job.json", "part.json", "rows", "errors.jsonl"
_DIGITS = 8
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


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

    Attributes:
        errors: the file of rows without an answer, which is there if there are any.
        damaged: what is wrong with a part that `resume` found; empty where nothing is.
    """

    def __init__(self, out: Path, form: Form) -> None:
        self.out = out
        self.errors = out.with_name(out.name + ERRORS)
        self.damaged = ""
        self._form = form
        self._folder = out.with_name(out.name + ".parts")
        self._lock = FolderLock(self._folder)
        self._next = 0

    @property
    def exist(self) -> bool:
        """Whether an unfinished job is there."""
        return (self._folder / _JOB).exists()

    def take(self) -> None:
        """Keep other processes away.

        Raises:
            JobError: another process works at it, the folder cannot be made, or something is in the way.
        """
        for path in (self.out, self.errors):
            if path.is_dir():
                raise JobError(f"'{path}' is a folder", "name a file")
        with self.explained(self._folder):
            if not self._lock.take():
                raise JobError(f"another process writes '{self.out}'", "wait for it, or write another file")

    def begin(self, journal: Mapping[str, Any]) -> None:
        """Begin anew.

        Raises:
            JobError: it cannot be written.
        """
        with self.explained(self._folder):
            (self._folder / _JOB).unlink(missing_ok=True)
            for entry in self._folder.iterdir():
                if not self._lock.is_at(entry):
                    _remove(entry)
            written = self._folder / f"{_JOB}.new"
            with written.open("wb") as stream:
                stream.write(json.dumps(journal, indent=1).encode())
                sync(stream)
            written.replace(self._folder / _JOB)
            _sync_folder(self._folder)

    def resume(self, journal: Mapping[str, Any]) -> Progress:
        """Go on with what is there, as far as it is whole: of a part that is damaged, and those after it, nothing is kept.

        Raises:
            JobError: it is of another job; says what differs.
        """
        with self.explained(self._folder):
            try:
                before = json.loads((self._folder / _JOB).read_text(encoding="utf-8"))
                if not isinstance(before, dict):
                    raise ValueError
            except ValueError:
                raise JobError(f"'{self._folder / _JOB}' is damaged", "--overwrite begins anew") from None
            differs = difference(before, json.loads(json.dumps(journal)))
            if differs:
                raise JobError(f"'{self.out}' cannot be gone on with: {differs}", "--overwrite begins anew")
            progress = self._whole()
            kept = {_name(number) for number in range(self._next)}
            for entry in self._folder.iterdir():
                if entry.name not in kept and entry.name != _JOB and not self._lock.is_at(entry):
                    if entry.name.isdecimal() and not self.damaged:
                        self.damaged = f"part {self._next} is not there"
                    _remove(entry)
        return progress

    def part(self) -> "Part":
        """Begin the next part.

        Raises:
            JobError: it cannot be made.
        """
        name = _name(self._next)
        with self.explained(self._folder):
            return Part(self, self._folder / f"{name}.new", self._folder / name, self._form)

    def finish(self) -> None:
        """Make the output of the parts, and take them away.

        Raises:
            JobError: the disk is full, or the like; the parts stay.
        """
        folders = [self._folder / _name(number) for number in range(self._next)]
        with self.explained(self.out):
            written, told = self._folder / "whole.new", self._folder / "errors.new"
            try:
                described = [_described(folder) for folder in folders]
            except ValueError as problem:
                raise JobError(f"'{self._folder}': {problem}", "--resume asks about its rows again") from None
            self._form.merge(_those_with(_ROWS, folders, described), written)
            refusals = _those_with(_REFUSALS, folders, described)
            if refusals:
                concatenate(refusals, told)
                told.replace(self.errors)
            else:
                self.errors.unlink(missing_ok=True)
            written.replace(self.out)
            _sync_folder(self.out.parent)
            (self._folder / _JOB).unlink()
        self.close()

    def close(self) -> None:
        """Let others work at it; what is left of a job that is done, or never began, goes."""
        if self._lock.taken and not self.exist:
            with contextlib.suppress(OSError):
                for entry in self._folder.iterdir():
                    if not self._lock.is_at(entry):
                        _remove(entry)
            self._lock.remove()
        self._lock.release()

    def committed(self) -> None:
        """The part that was begun last is in its place."""
        self._next += 1

    def _whole(self) -> Progress:
        """What the parts hold that follow each other without damage."""
        rows = refused = 0
        after = Cursor()
        while (folder := self._folder / _name(self._next)).is_dir():
            try:
                part = _described(folder)
                if _ROWS in part["bytes"]:
                    self._form.after(folder / _ROWS)
            except ValueError as problem:
                self.damaged = str(problem)
                break
            rows, refused, after = rows + part["rows"], refused + part["refused"], part["after"]
            self._next += 1
        return Progress(rows, refused, after)

    @contextlib.contextmanager
    def explained(self, path: Path) -> Iterator[None]:
        """What the system says of a file, as a JobError that says what is kept."""
        try:
            yield
        except OSError as problem:
            fix = ""
            if self._lock.taken and self.exist:
                fix = "what is done so far is kept: --resume goes on from there"
                if problem.errno in _FULL:
                    fix = f"make room; {fix}"
            raise JobError(f"'{path}' cannot be written: {problem.strerror or problem}", fix) from None


class Part:
    """One part being written.

    Attributes:
        whole: whether all that was added is in it; not where adding was interrupted.
    """

    def __init__(self, parts: Parts, folder: Path, place: Path, form: Form) -> None:
        self._parts, self._folder, self._place, self._form = parts, folder, place, form
        folder.mkdir()
        self._writer: PartWriter | None = None
        self._errors: IO[bytes] | None = None
        self._after = Cursor()
        self._rows = self._refused = 0
        self.whole = False

    def add(self, results: Results, refusals: "Sequence[Refusal]", after: Cursor) -> None:
        """Add rows, and those that have no answer.

        Raises:
            DataError: the form cannot hold them; what was added before is there.
            JobError: they cannot be written.
        """
        if len(results):
            self._form.check(results)
        self.whole = False
        with self._parts.explained(self._place):
            if len(results):
                if self._writer is None:
                    self._writer = self._form.part(self._folder / _ROWS)
                self._writer.write(results)
            if refusals and self._errors is None:
                self._errors = (self._folder / _REFUSALS).open("wb")
            for refusal in refusals:
                assert self._errors is not None
                self._errors.write(refusal_line(refusal))
        self._rows += len(results)
        self._refused += len(refusals)
        self._after = after
        self.whole = True

    @property
    def size(self) -> int:
        """Bytes of its rows, about."""
        return self._writer.size if self._writer is not None else 0

    def commit(self) -> None:
        """Rename it into place; from then on it is there whatever happens.

        Raises:
            JobError: it cannot be written to its end.
        """
        self.whole = False
        with self._parts.explained(self._place):
            sizes = self._close()
            described = {"rows": self._rows, "refused": self._refused, "after": asdict(self._after), "bytes": sizes}
            with (self._folder / _PART).open("wb") as stream:
                stream.write(orjson.dumps(described))
                sync(stream)
            _sync_folder(self._folder)
            self._folder.rename(self._place)
            self._parts.committed()
            _sync_folder(self._place.parent)

    def abandon(self) -> None:
        """Take away what cannot be committed, so that a full disk has its room again."""
        with contextlib.suppress(OSError, ValueError):
            self._close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> dict[str, int]:
        """Bytes of its files, which are on the disk."""
        if self._writer is not None:
            self._writer.close()
        if self._errors is not None:
            with self._errors as stream:
                sync(stream)
        return {entry.name: entry.stat().st_size for entry in self._folder.iterdir()}


def refusal_line(refusal: Refusal) -> bytes:
    """A row without an answer as a line of JSON."""
    reason = json_text(refusal.reason)
    return b'{"source":%b,"index":%d,"reason":%b}\n' % (json_text(refusal.source), refusal.index, reason)


def _name(number: int) -> str:
    return f"{number:0{_DIGITS}}"


def _described(folder: Path) -> dict[str, Any]:
    """What a part says of itself.

    Raises:
        ValueError: it is not whole; says what is wrong.
    """
    try:
        part = json.loads((folder / _PART).read_text(encoding="utf-8"))
        described = {"rows": int(part["rows"]), "refused": int(part["refused"]), "after": Cursor(**part["after"])}
        sizes = dict(part["bytes"])
    except (OSError, ValueError, TypeError, KeyError):
        raise ValueError(f"'{folder.name}/{_PART}' is damaged or not there") from None
    for name, size in sizes.items():
        found = (folder / name).stat().st_size if (folder / name).is_file() else None
        if found != size:
            raise ValueError(
                f"'{folder.name}/{name}' " + ("is not there" if found is None else "is not as it was written")
            )
    return {**described, "bytes": sizes}


def _those_with(name: str, folders: Sequence[Path], described: Sequence[Mapping[str, Any]]) -> list[Path]:
    return [folder / name for folder, part in zip(folders, described, strict=True) if name in part["bytes"]]


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What the journals do not agree in, for the person who asked; empty where they do."""
    for key, value in now.items():
        was = before.get(key)
        if was == value:
            continue
        if key == "model_digest":
            return f"model '{now['model']}' has changed since, its configuration or its files"
        if key != "files":
            return f"{key.replace('_', ' ')} was {_shown(was)} and is {_shown(value)}"
        return _difference_of_files(was, value)
    return ""


def _difference_of_files(before: Any, now: Sequence[Mapping[str, Any]]) -> str:
    old = {file["name"]: file for file in before or ()}
    new = {file["name"]: file for file in now}
    for name in dict.fromkeys([*new, *old]):
        if name not in old:
            return f"'{name}' was not among its data"
        if name not in new:
            return f"'{name}' was among its data"
        if old[name] != new[name]:
            return f"'{name}' has changed since"
    return "its data came in another order"


def _shown(value: Any) -> str:
    return json.dumps(value) if value not in (None, "") else "not given"


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _sync_folder(folder: Path) -> None:
    """What was renamed in it stays so when the machine loses power, where folders can be synchronised."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
