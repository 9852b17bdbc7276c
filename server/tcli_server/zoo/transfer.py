"""Brings one file from one address onto the disk: streamed, resumed after a break, compared with what it should be."""

import contextlib
import errno
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import httpx

from tcli_server.file_kind import HEAD_BYTES
from tcli_server.zoo.answer import Answer, TransferError, ask, byte_count, why
from tcli_server.zoo.expected import Expected, mistaken_for

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes that there will be, 0 where nobody knows."""

_CHUNK = 1 << 18
_ATTEMPTS = 3
_STALL_SECONDS = 30.0
_HEADWAY = 1 << 20
"""Bytes after which a connection that breaks off is no reason to give up."""

_BUSY = (429, 500, 502, 503, 504)
_LONGEST_WAIT = 20.0


@dataclass(frozen=True, slots=True)
class Received:
    """A file that came whole.

    Attributes:
        validator: the server's name of this state of the file (ETag, else Last-Modified), empty where it has none.
        unchanged: the server said that the file is still the one of the given validator; nothing was written.
        sha256: as the server gave it, compared already; None where it gave none.
    """

    validator: str = ""
    unchanged: bool = False
    sha256: str | None = None
    commit: str | None = None


def new_client(stall_seconds: float = _STALL_SECONDS, connect_seconds: float = 10.0) -> httpx.Client:
    """A client for transfers, which gives up on a connection that is silent for so long."""
    timeout = httpx.Timeout(stall_seconds, connect=connect_seconds)
    return httpx.Client(timeout=timeout, headers={"Accept-Encoding": "identity", "User-Agent": "tcli"})


def transfer(
    client: httpx.Client,
    url: str,
    part: Path,
    expected: Expected,
    *,
    name: str,
    headers: Mapping[str, str] | None = None,
    validator: str = "",
    progress: Progress | None = None,
    answer_seconds: float = 3.0,
    is_patient: bool = False,
) -> Received:
    """Fill `part` with the file at an address; bytes of an earlier call that are still right are kept.

    What was received stays in `part` when this fails or is interrupted, unless it is known to be wrong.

    Args:
        name: of the file, which says whether a text can be one.
        validator: of a finished file that is there: is it still the same?
        answer_seconds: how long the server may take to connect and answer.
        is_patient: try again where the server is busy or does not answer.

    Raises:
        TransferError: the address does not have the right file.
        OSError: `part` cannot be written.
    """
    transfer_of = _Transfer(client, url, part, expected, name, dict(headers or {}), progress, answer_seconds)
    failures = furthest = 0
    was_wrong = False
    while True:
        start = transfer_of.resumable()
        try:
            received = transfer_of.stream(start, validator)
        except httpx.HTTPError as error:
            here = transfer_of.size()
            if here <= start and not is_patient:
                raise TransferError(why(error)) from None
            failures = failures + 1 if here - furthest < _HEADWAY else 1
            furthest = max(furthest, here)
            if failures >= _ATTEMPTS:
                raise TransferError(f"{why(error)} again and again") from None
            if here <= start:
                time.sleep(failures / 2)
            continue
        except TransferError as error:
            failures += 1
            wait = _wait(error, failures, is_patient) if failures < _ATTEMPTS else None
            if wait is None:
                raise
            time.sleep(wait)
            continue
        if received.unchanged:
            return received
        known = Expected(expected.size, expected.sha256 or received.sha256, expected.git_sha1)
        wrong = known.difference(part)
        if wrong is None:
            transfer_of.forget()
            return received
        transfer_of.discard()
        if start == 0 or was_wrong:
            raise TransferError(f"it sent the wrong file: {wrong}")
        # The beginning may have come from elsewhere and be the wrong half: try the whole once.
        was_wrong, furthest = True, 0


class _NoResumeError(TransferError):
    """The server does not go on where the download broke off: the file must be asked for as a whole."""


class _BusyError(TransferError):
    """The server may have the file, but not now."""

    def __init__(self, reason: str, status: int, retry_after: str) -> None:
        super().__init__(reason, status)
        seconds = byte_count(retry_after)
        self.retry_after = None if seconds is None else float(seconds)


def _wait(error: TransferError, failures: int, is_patient: bool) -> float | None:
    """Seconds until a server may be asked again, None for no more."""
    if isinstance(error, _NoResumeError):
        return 0.0
    if not isinstance(error, _BusyError) or not is_patient:
        return None
    if error.retry_after is None:
        return float(failures)
    return error.retry_after if error.retry_after <= _LONGEST_WAIT else None


@dataclass(slots=True)
class _Transfer:
    client: httpx.Client
    url: str
    part: Path
    expected: Expected
    name: str
    headers: dict[str, str]
    progress: Progress | None
    answer_seconds: float

    def size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def resumable(self) -> int:
        """How many bytes of the part file are a beginning to go on from."""
        start = self.size()
        if self.expected.size is not None and start >= self.expected.size:
            return 0
        return start if self.expected.is_proof or self._validator() else 0

    def forget(self) -> None:
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.forget()

    def stream(self, start: int, known: str) -> Received:
        headers = dict(self.headers)
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator := self._validator():
                headers["If-Range"] = validator
        elif known:
            headers["If-None-Match" if known.startswith(('"', "W/")) else "If-Modified-Since"] = known
        try:
            request = self.client.build_request("GET", self.url, headers=headers)
        except httpx.InvalidURL as error:
            raise TransferError(f"not a URL: {error}") from None
        answer = ask(self.client, request, self.answer_seconds)
        try:
            return self._receive(answer, start, known)
        finally:
            answer.response.close()

    def _receive(self, answer: Answer, start: int, known: str) -> Received:
        response = answer.response
        named = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if known and not start and (response.status_code == 304 or (response.status_code == 200 and named == known)):
            return Received(known, unchanged=True)
        if response.status_code == 416 and start:
            self.discard()
            raise _NoResumeError("it refuses to go on where the download broke off")
        if response.status_code not in (200, 206):
            raise _refusal(response)
        if response.status_code == 200:
            start = 0  # it does not resume, or the file is another by now: it sends the whole
        elif not _continues(response, start):
            self.discard()
            raise _NoResumeError("it sent another part of the file than asked for")
        chunks = response.iter_bytes(_CHUNK)
        first = next(chunks, b"")
        if start == 0:
            mistaken = mistaken_for(first[:HEAD_BYTES], self.name)
            if mistaken is not None and self.expected.size != 0:
                raise TransferError(f"it sent {mistaken}")
        total = self._total(answer, start)
        if self.expected.size is not None and total is not None and total != self.expected.size:
            raise TransferError(f"it offers {total:,} bytes instead of {self.expected.size:,}")
        self._check_space(total, start)
        if not self.expected.is_proof:
            self._remember(named)
        limit = self.expected.size if total is None else total
        done = self._write(start, first, chunks, limit)
        if total is not None and done != total:
            raise httpx.RemoteProtocolError("incomplete")
        return Received(named, sha256=answer.sha256, commit=answer.commit)

    def _total(self, answer: Answer, start: int) -> int | None:
        """The size of the whole file in bytes, as the server has it, None where it does not say."""
        headers = answer.response.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            return None
        length = byte_count(headers.get("Content-Length"))
        total = None if length is None else start + length
        if total is not None and answer.size is not None and total != answer.size:
            raise TransferError(f"it offers {total:,} bytes of a file that it says has {answer.size:,}")
        return total if total is not None else answer.size

    def _check_space(self, total: int | None, start: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - start > free:
            raise OSError(
                errno.ENOSPC, f"the disk has {free:,} bytes free, {total - start:,} are needed", str(self.part.parent)
            )

    def _write(self, start: int, first: bytes, chunks: Iterable[bytes], size: int | None) -> int:
        # Each writer keeps its own place and never appends, so that two downloads of one file do not spoil it.
        done = start
        try:
            with self.part.open("r+b" if start else "wb") as opened:
                opened.seek(start)
                for chunk in chain((first,), chunks):
                    opened.write(chunk)
                    done += len(chunk)
                    if self.progress is not None:
                        self.progress(done, size or 0)
                    if size is not None and done > size:
                        raise TransferError(f"it sends more than {size:,} bytes")
        except OSError as error:
            reason = error.strerror
            if error.errno == errno.ENOSPC and size is None:  # there may be no end of it
                self.discard()
                reason = f"the disk was full after {done:,} bytes, and the server does not say how many there are"
            raise OSError(error.errno, reason, str(self.part)) from None
        return done

    @property
    def _note(self) -> Path:
        return self.part.with_name(f"{self.part.name}.json")

    def _validator(self) -> str:
        """The server's name of the state that the part file is of; empty where it must not be resumed by that."""
        with contextlib.suppress(OSError, ValueError):
            note = json.loads(self._note.read_text("utf-8"))
            validator = note.get("validator") if isinstance(note, dict) else None
            # A weak one says that two states mean the same, not that they have the same bytes.
            return validator if isinstance(validator, str) and not validator.startswith("W/") else ""
        return ""

    def _remember(self, validator: str) -> None:
        self._note.write_text(json.dumps({"validator": validator}), "utf-8")


def _continues(response: httpx.Response, start: int) -> bool:
    """A partial answer begins where it was asked to; one that does not say is believed."""
    span = response.headers.get("Content-Range", "")
    return not span or span.replace("bytes", "").strip().startswith(f"{start}-")


def _refusal(response: httpx.Response) -> TransferError:
    reason = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code in _BUSY:
        return _BusyError(reason, response.status_code, response.headers.get("Retry-After", ""))
    return TransferError(reason, response.status_code)
