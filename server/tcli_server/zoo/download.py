"""Fetches a published file whose size and hash are known, from the first of several sources that has it."""

import hashlib
import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tcli_server.errors import UnavailableError
from tcli_server.file_kind import HEAD_BYTES, mistaken_content

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes that there will be."""

_CHUNK = 1 << 18
_ATTEMPTS = 5
_STALL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A published file.

    Attributes:
        size: in bytes.
        sha256: lower-case hexadecimal.
        urls: where it may be, in the order to ask.
    """

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...]


class DownloadError(UnavailableError):
    """No source gave the right file; `reasons` says for each what was wrong, in order."""

    def __init__(self, name: str, reasons: list[tuple[str, str]]) -> None:
        self.reasons = reasons
        told = "".join(f"\n  {source}: {reason}" for source, reason in reasons)
        super().__init__(f"{name} could not be had:{told}")

    @property
    def summary(self) -> str:
        """The reasons in one line, each with the host that it is about."""
        return "; ".join(f"{urlsplit(source).hostname or source}: {reason}" for source, reason in self.reasons)


class _SourceError(Exception):
    """This source does not have the right file; ask the next."""


def cache_folder() -> Path:
    """Where downloads are kept: the platform's cache folder, XDG_CACHE_HOME respected."""
    if os.environ.get("XDG_CACHE_HOME"):
        base = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path.home() / ".cache"
    return base / "tcli" / "models"


def fetch(
    file: RemoteFile,
    folder: Path,
    *,
    progress: Progress | None = None,
    answer_seconds: float = 3.0,
) -> Path:
    """The path of the file in `folder`, downloaded where it is not there yet.

    An interrupted download is resumed, by this call or a later one. Nothing is ever at the path that is not the file:
    it is downloaded beside it and renamed once size and hash are right.

    Args:
        answer_seconds: how long a source may take to connect and answer before the next is asked.

    Raises:
        DownloadError: no source has it.
        OSError: `folder` cannot be written.
    """
    target = folder / file.name
    if difference(file, target) is None:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{file.name}.part"
    reasons: list[tuple[str, str]] = []
    timeout = httpx.Timeout(_STALL_SECONDS, connect=answer_seconds)
    with httpx.Client(follow_redirects=True, timeout=timeout, headers={"Accept-Encoding": "identity"}) as client:
        for url in file.urls:
            try:
                _download(client, url, file, part, progress, answer_seconds)
            except _SourceError as error:
                reasons.append((url, str(error)))
                continue
            part.replace(target)
            return target
    raise DownloadError(file.name, reasons)


def difference(file: RemoteFile, path: Path) -> str | None:
    """How the file at a path differs from the published one, None where it does not.

    An LFS pointer, an HTML page and the like are named as what they are.
    """
    try:
        with path.open("rb") as opened:
            mistaken = mistaken_content(opened.read(HEAD_BYTES))
            if mistaken is not None:
                return mistaken
            size = path.stat().st_size
            if size != file.size:
                return f"{size:,} bytes instead of {file.size:,}" + (" (truncated)" if size < file.size else "")
            opened.seek(0)
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        return error.strerror or str(error)
    return None if found == file.sha256 else f"sha256 {found} instead of {file.sha256}"


def _download(
    client: httpx.Client, url: str, file: RemoteFile, part: Path, progress: Progress | None, answer_seconds: float
) -> None:
    """Complete the part file from one source, resuming as often as it breaks off but makes headway."""
    for _ in range(_ATTEMPTS):
        start = part.stat().st_size if part.exists() else 0
        if start >= file.size:
            start = 0
        try:
            _stream(client, url, file, part, start, progress, answer_seconds)
        except httpx.HTTPError as error:
            if not part.exists() or part.stat().st_size <= start:
                raise _SourceError(_reason(error)) from None
            continue
        wrong = difference(file, part)
        if wrong is None:
            return
        part.unlink()
        if start == 0:
            raise _SourceError(f"it sent the wrong file: {wrong}")
        # The beginning may have come from elsewhere and be the wrong half: try the whole once.
    raise _SourceError("the connection broke off again and again")


def _stream(
    client: httpx.Client,
    url: str,
    file: RemoteFile,
    part: Path,
    start: int,
    progress: Progress | None,
    answer_seconds: float,
) -> None:
    try:
        request = client.build_request("GET", url, headers={"Range": f"bytes={start}-"} if start else {})
    except httpx.InvalidURL as error:
        raise _SourceError(f"not a URL: {error}") from None
    response = _answer(client, request, answer_seconds)
    try:
        if response.status_code not in (200, 206):
            raise _SourceError(f"HTTP {response.status_code} {response.reason_phrase}".rstrip())
        if response.status_code == 200:
            start = 0  # it does not resume, and sends the whole file
        length = response.headers.get("Content-Length", "")
        chunks = response.iter_bytes(_CHUNK)
        first = next(chunks, b"")
        if start == 0:
            mistaken = mistaken_content(first[:HEAD_BYTES])
            if mistaken is not None:
                raise _SourceError(f"it sent {mistaken}")
        if length.isdigit() and start + int(length) != file.size:
            raise _SourceError(f"it offers {start + int(length):,} bytes instead of {file.size:,}")
        _write(part, start, first, chunks, file.size, progress)
    finally:
        response.close()


def _write(part: Path, start: int, first: bytes, chunks: Iterable[bytes], size: int, progress: Progress | None) -> None:
    # Each writer keeps its own place and never appends, so that two downloads of one file do not spoil it.
    with part.open("r+b" if start else "wb") as opened:
        opened.seek(start)
        done = start
        for chunk in chain((first,), chunks):
            opened.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, size)
            if done > size:
                raise _SourceError(f"it sends more than {size:,} bytes")


def _answer(client: httpx.Client, request: httpx.Request, seconds: float) -> httpx.Response:
    """The response to a request, its body unread.

    The request runs in a thread of its own, because looking up a name has no timeout that could be set.
    """
    answers: queue.Queue[httpx.Response | httpx.HTTPError] = queue.Queue()

    def send() -> None:
        try:
            answers.put(client.send(request, stream=True))
        except httpx.HTTPError as error:
            answers.put(error)
        except RuntimeError:  # the client was closed meanwhile, nobody waits any more
            return

    threading.Thread(target=send, name="tcli-download", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise _SourceError(f"no answer within {seconds:g} s") from None
    if isinstance(answer, httpx.HTTPError):
        raise answer
    return answer


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "no answer"
    if isinstance(error, httpx.ConnectError):
        told = re.sub(r"^\[Errno -?\d+\] ", "", str(error))
        return f"no connection ({told})" if told else "no connection"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return "the connection broke off"
    return str(error) or type(error).__name__
