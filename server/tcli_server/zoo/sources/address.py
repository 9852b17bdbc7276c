"""What a user writes to say where a model is: an address on the web, or a repository of the hub."""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit, urlunsplit

from tcli_server.errors import InvalidArgumentError
from tcli_server.zoo.model_name import as_model_name

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=//)|(hf|https?):", re.IGNORECASE)
_HUB = re.compile(r"(?P<organisation>[\w.-]+)/(?P<name>[\w.-]+)(?:/(?P<file>.+))?", re.ASCII)
_HUB_PAGE = re.compile(r"/(?P<repository>[\w.-]+/[\w.-]+)(?:/(?:blob|tree)/(?P<revision>[^/]+)(?:/(?P<file>.+))?)?/?")
_HUB_FILE = re.compile(r"/(?P<repository>[\w.-]+/[\w.-]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_NOT_REPOSITORIES = ("api", "datasets", "spaces", "docs", "models", "collections", "papers", "blog")
_GITHUB_PAGE = re.compile(r"/([^/]+)/([^/]+)/blob/(.+)")
_SHA256 = re.compile(r"sha256=([0-9a-fA-F]{64})")
_COPYING = {
    "s3": "aws s3 cp {} .",
    "gs": "gcloud storage cp {} .",
    "az": "az storage blob download --blob-url {} --file MODEL.onnx",
}
_FORM = "hf:ORG/NAME[/FILE][@REVISION]"


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A model in a repository of the hub.

    Attributes:
        repository: `ORG/NAME`.
        file: the path of a file or folder in it, None for the one that is chosen.
        revision: a branch, tag or commit, None for the main branch.
    """

    repository: str
    file: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        file = f"/{self.file}" if self.file else ""
        return f"hf:{self.repository}{file}{f'@{self.revision}' if self.revision else ''}"

    @property
    def name(self) -> str:
        """What the model may be called: as its file where that is named and says more than `model`, else as the repository."""
        own = PurePosixPath(self.file or "model").stem
        chosen = self.repository.partition("/")[2] if own.startswith("model") else own
        return as_model_name(chosen)


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A file on a web server.

    Attributes:
        url: with everything that the server needs, credentials too; not to be shown.
        sha256: what the file's hash must be, from `#sha256=...`.
    """

    url: str
    sha256: str | None = None

    def __str__(self) -> str:
        return self.shown

    @property
    def shown(self) -> str:
        """The address without what is secret or may be: user and password, and the values of a query."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", "")) + ("?..." if parts.query else "")

    @property
    def in_hub(self) -> HubAddress | None:
        """The same file by its name in the hub, for an address there that the hub answers with the file itself."""
        parts = urlsplit(self.url)
        match = _HUB_FILE.fullmatch(parts.path)
        if match is None or (parts.hostname or "").lower() not in _HUB_HOSTS:
            return None
        return HubAddress(match["repository"], unquote(match["file"]), unquote(match["revision"]))

    @property
    def file(self) -> str:
        """The name of the file."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])

    @property
    def name(self) -> str:
        """What the model may be called."""
        return as_model_name(PurePosixPath(self.file).stem)


def is_remote(text: str) -> bool:
    """Whether this says where a model is that is not on this machine's disks, as opposed to a path."""
    # Addresses may be longer than any file's name: `Path.exists` would raise.
    return _SCHEME.match(text) is not None and not os.path.exists(text)  # noqa: PTH110


def parse_source(text: str) -> HubAddress | WebAddress:
    """What the text of a remote source means.

    Raises:
        InvalidArgumentError: it is no form that is fetched; says which are, and what to do.
    """
    scheme = (match[1] or match[2]).lower() if (match := _SCHEME.match(text)) else ""
    if scheme == "hf":
        return _hub_address(text)
    if scheme in ("http", "https"):
        return _web_address(text)
    if scheme == "file":
        path = unquote(urlsplit(text).path)
        raise InvalidArgumentError(f"'{text}': files of this machine are named by their path: {shlex.quote(path)}")
    fetched = _COPYING.get(scheme, "curl -LO {}").format(shlex.quote(_without_user(text)))
    raise InvalidArgumentError(
        f"'{_without_user(text)}': addresses of kind '{scheme}:' are not fetched, expected https:// or {_FORM}: "
        f"fetch it ({fetched}) and add the file"
    )


def _hub_address(text: str) -> HubAddress:
    body = text.partition(":")[2].lstrip("/")
    place, at, revision = body.rpartition("@") if "@" in body else (body, "", "")
    match = _HUB.fullmatch(place.rstrip("/"))
    if match is None or (at and not revision):
        raise InvalidArgumentError(f"'{text}': expected {_FORM}, for example hf:ORG/NAME/onnx/model.onnx@main")
    file = match["file"]
    if file is not None and not is_inside(file):
        raise InvalidArgumentError(f"'{text}': '{file}' is no path inside of a repository")
    return HubAddress(f"{match['organisation']}/{match['name']}", file, revision or None)


def _web_address(text: str) -> HubAddress | WebAddress:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        if "@" in text:  # the message may quote a password
            raise InvalidArgumentError(
                "this is no address: in a user's name and password write '/' as %2F, ':' as %3A, '@' as %40, '#' as %23, '?' as %3F"
            ) from None
        raise InvalidArgumentError(f"'{_without_user(text)}' is no address: {error}") from None
    if not host or "//" not in text or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise InvalidArgumentError(f"'{_without_user(text)}' is no address, expected https://host/path/model.onnx")
    page = _HUB_PAGE.fullmatch(parts.path)
    if host.lower() in _HUB_HOSTS and page and page["repository"].partition("/")[0] not in _NOT_REPOSITORIES:
        file, revision = page["file"], page["revision"]
        return HubAddress(page["repository"], unquote(file) if file else None, unquote(revision) if revision else None)
    if host.lower() == "github.com" and (github := _GITHUB_PAGE.fullmatch(parts.path)):
        raw = f"https://github.com/{github[1]}/{github[2]}/raw/{github[3]}"
        raise InvalidArgumentError(f"'{_without_user(text)}' is the page about a file, the file itself is {raw}")
    fragment = _SHA256.fullmatch(parts.fragment)
    if parts.fragment and fragment is None:
        raise InvalidArgumentError(
            f"'#{parts.fragment}' behind an address means nothing here, expected #sha256= and 64 hexadecimal digits"
        )
    address = WebAddress(urlunsplit(parts._replace(fragment="")), fragment[1].lower() if fragment else None)
    if not address.file:
        raise InvalidArgumentError(f"{address} names no file, expected https://host/path/model.onnx")
    return address


def is_inside(path: str) -> bool:
    """Whether a path of a repository stays inside of the folder that it is put into, on every system."""
    parts = path.split("/")
    odd = re.search(r'[\\:\x00-\x1f\x7f<>"|?*]', path)
    return not odd and all(part not in ("", ".", "..") for part in parts)


def _without_user(text: str) -> str:
    """An address without user and password, for one that may be malformed, and without its query's values."""
    text = re.sub(r"(?<=//)[^/]*@", "", text)
    return re.sub(r"\?.*", "?...", text)
