"""Fetches a published file whose size and hash are known, from the first of several sources that has it."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tcli_server.errors import UnavailableError
from tcli_server.zoo.answer import TransferError
from tcli_server.zoo.expected import Expected
from tcli_server.zoo.transfer import Progress, new_client, transfer


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


def cache_folder() -> Path:
    """Where downloads are kept: the platform's cache folder, XDG_CACHE_HOME respected.

    Raises:
        UnavailableError: this user has no home folder, as in a container with the number of a user that it does not know.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or _platforms_cache())
    except RuntimeError:
        raise UnavailableError(
            "there is no folder for downloads, as this user has no home: set XDG_CACHE_HOME to a folder that it may write"
        ) from None
    return base / "tcli" / "models"


def _platforms_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ".cache"


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
    expected = Expected(file.size, file.sha256)
    reasons: list[tuple[str, str]] = []
    with new_client(connect_seconds=answer_seconds) as client:
        for url in file.urls:
            try:
                transfer(client, url, part, expected, name=file.name, progress=progress, answer_seconds=answer_seconds)
            except TransferError as error:
                reasons.append((url, str(error)))
                continue
            part.replace(target)
            return target
    raise DownloadError(file.name, reasons)


def difference(file: RemoteFile, path: Path) -> str | None:
    """How the file at a path differs from the published one, None where it does not.

    An LFS pointer, an HTML page and the like are named as what they are.
    """
    return Expected(file.size, file.sha256).difference(path)
