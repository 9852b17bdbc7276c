"""What is known about a file before it is there, and how another file differs from it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tcli_server.file_kind import HEAD_BYTES, mistaken_content

_TEXTS = {".json", ".xml", ".txt", ".pbtxt", ".md", ".yaml", ".py"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known about a file before it is there; None for what is not.

    Attributes:
        size: in bytes.
        sha256: lower-case hexadecimal.
        git_sha1: the name of its blob in git.
    """

    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None

    @property
    def is_proof(self) -> bool:
        """A file that fits this is the right one, wherever its bytes come from."""
        return self.sha256 is not None or self.git_sha1 is not None

    def difference(self, path: Path) -> str | None:
        """How the file at a path differs from this, None where it does not.

        An LFS pointer, an HTML page and the like are named as what they are.
        """
        try:
            with path.open("rb") as opened:
                mistaken = mistaken_for(opened.read(HEAD_BYTES), path.name)
                if mistaken is not None and self.size != 0:
                    return mistaken
                size = path.stat().st_size
                if self.size is not None and size != self.size:
                    truncated = " (truncated)" if size < self.size else ""
                    return f"{size:,} bytes instead of {self.size:,}{truncated}"
                return self._other_digest(path, size)
        except OSError as error:
            return error.strerror or str(error)

    def _other_digest(self, path: Path, size: int) -> str | None:
        if self.sha256 is not None:
            found = sha256_of(path)
            return None if found == self.sha256 else f"sha256 {found} instead of {self.sha256}"
        if self.git_sha1 is not None:
            blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
            blob.update(path.read_bytes())
            return None if blob.hexdigest() == self.git_sha1 else f"git's {blob.hexdigest()} instead of {self.git_sha1}"
        return None


def sha256_of(path: Path) -> str:
    """The hash of a file, lower-case hexadecimal."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def mistaken_for(head: bytes, name: str) -> str | None:
    """What somebody got instead of the file of this name, by its first bytes; None where it may be that."""
    mistaken = mistaken_content(head)
    is_text = PurePosixPath(name.removesuffix(".part")).suffix.lower() in _TEXTS
    return None if is_text and mistaken is not None and mistaken.startswith("a JSON") else mistaken
