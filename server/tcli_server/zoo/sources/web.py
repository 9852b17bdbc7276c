"""Fetches a model's file from a web server."""

import contextlib
import hashlib
import json
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import httpx

from tcli_server.backends.registry import handling
from tcli_server.zoo.answer import TransferError
from tcli_server.zoo.download import cache_folder
from tcli_server.zoo.expected import Expected, sha256_of
from tcli_server.zoo.found_model import find_model
from tcli_server.zoo.sources.address import WebAddress, is_inside
from tcli_server.zoo.sources.fetched import FetchedModel, SourceError, Watch, one_line
from tcli_server.zoo.sources.keeping import own_folder
from tcli_server.zoo.transfer import new_client, transfer

_NOTE = "source.json"


def fetch_from_web(
    address: WebAddress, watch: Watch | None = None, *, answer_seconds: float = 20.0, stall_seconds: float = 30.0
) -> FetchedModel:
    """The file at an address, with those that it keeps weights in.

    What was fetched before is asked for again only if the server says that it is another by now.

    Raises:
        SourceError: it cannot be had; says why and what to do.
        OSError: the cache cannot be written.
    """
    if not is_inside(address.file) or address.file.startswith("."):
        raise SourceError(address, f"'{one_line(address.file)}' cannot name a file on every system")
    key = hashlib.sha256(_without_user(address.url).encode()).hexdigest()[:16]
    folder = cache_folder() / "sources" / "web" / key
    with own_folder(folder), new_client(stall_seconds) as client:
        fetcher = _Fetcher(folder, client, watch, answer_seconds)
        path = fetcher.fetch(address, address.file)
        for needed in handling(find_model(path).kind).needs(path):
            if not is_inside(needed):
                raise SourceError(address, f"it keeps weights in '{one_line(needed)}', outside of its own folder")
            fetcher.fetch(_neighbour(address, needed), needed)
    return FetchedModel(path, address.name, (f"From: {one_line(address)}", f"SHA-256: {sha256_of(path)}"))


class _Fetcher:
    """Brings files of one address into its folder."""

    def __init__(self, folder: Path, client: httpx.Client, watch: Watch | None, answer_seconds: float) -> None:
        self._folder = folder
        self._client = client
        self._watch = watch
        self._answer_seconds = answer_seconds

    def fetch(self, address: WebAddress, file: str) -> Path:
        watch = self._watch
        target = self._folder / "files" / file
        expected = Expected(sha256=address.sha256)
        if address.sha256 and target.is_file() and expected.difference(target) is None:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        try:
            received = transfer(
                self._client,
                address.url,
                part,
                expected,
                name=target.name,
                validator=self._validator(file) if target.is_file() else "",
                progress=None if watch is None else lambda done, total: watch(file, done, total),
                answer_seconds=self._answer_seconds,
                is_patient=True,
            )
        except TransferError as error:
            raise self._error(address, error, target) from None
        if not received.unchanged:
            part.replace(target)
            self._remember(file, received.validator)
        return target

    def _error(self, address: WebAddress, error: TransferError, target: Path) -> SourceError:
        reason = str(error)
        if "HTML page" in reason:
            fix = "give the address of the file itself; a page that wants a login cannot be passed"
        elif error.status in (401, 403) and address.in_hub is not None:
            fix = f"name it {address.in_hub}, which finds your token"
        elif error.status in (401, 403):
            fix = "it wants a login: https://USER:PASSWORD@host/..., or fetch the file by hand and add it"
        elif error.status in (404, 410):
            fix = "check the address"
        elif error.status is not None or "wrong file" in reason:
            fix = "fetch the file by hand and add it, or try again later"
        else:
            fix = "check the address and the network, and run it again: it goes on where it stopped"
        if target.is_file():
            fix += f"; the one that was fetched before is {target}"
        return SourceError(address, reason, fix)

    def _validator(self, file: str) -> str:
        validator = self._notes().get(file)
        return validator if isinstance(validator, str) else ""

    def _remember(self, file: str, validator: str) -> None:
        (self._folder / _NOTE).write_text(json.dumps({**self._notes(), file: validator}), "utf-8")

    def _notes(self) -> dict[str, object]:
        with contextlib.suppress(OSError, ValueError):
            notes = json.loads((self._folder / _NOTE).read_text("utf-8"))
            if isinstance(notes, dict):
                return notes
        return {}


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _neighbour(address: WebAddress, location: str) -> WebAddress:
    """The address of a file beside another, with the same query, which may be what lets one in."""
    there = urlsplit(urljoin(address.url, quote(location)))
    return WebAddress(urlunsplit(there._replace(query=urlsplit(address.url).query)))
