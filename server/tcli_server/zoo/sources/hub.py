"""Fetches a model from a repository of the hub."""

import hashlib
import re
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import httpx

from tcli_server.backends.registry import handling, kinds
from tcli_server.zoo.answer import TransferError
from tcli_server.zoo.beside.json_file import MOST_BYTES_BESIDE
from tcli_server.zoo.download import cache_folder
from tcli_server.zoo.expected import sha256_of
from tcli_server.zoo.found_model import find_model
from tcli_server.zoo.sources.address import HubAddress, is_inside
from tcli_server.zoo.sources.choice import choose_file, files_beside
from tcli_server.zoo.sources.fetched import FetchedModel, SourceError, Watch, one_line
from tcli_server.zoo.sources.hub_client import (
    HubRepository,
    file_request,
    http_error,
    in_clients_cache,
    look_up,
    stall_seconds,
)
from tcli_server.zoo.sources.keeping import own_folder, put_copy
from tcli_server.zoo.transfer import new_client, transfer

_ANSWER_SECONDS = 20.0


def fetch_from_hub(address: HubAddress, watch: Watch | None = None) -> FetchedModel:
    """The model of a repository, with the files that belong to it and nothing else.

    Raises:
        SourceError: it cannot be had; says why and what to do.
        OSError: the cache cannot be written.
    """
    repository = look_up(address)
    choice = choose_file(repository)
    folder = _folder(repository)
    parts = _parts_of_folder(repository, choice.file)
    # A folder that is a model as a whole is kept where no other model of the repository is.
    own = folder / ("model" if parts else "files")
    # What lies beside another model of the repository is not mixed with what lies beside this one.
    beside = folder / "beside" / hashlib.sha256(str(PurePosixPath(choice.file).parent).encode()).hexdigest()[:16]
    with own_folder(folder), new_client(stall_seconds(repository)) as client:
        fetcher = _Fetcher(repository, client, watch)
        path = fetcher.fetch(choice.file, own / choice.file)
        for file in parts or _companions(repository, choice.file, path):
            fetcher.fetch(file, own / file)
        others = files_beside(repository, choice.file)
        small = [file for file in others if (repository.files[file].size or 0) <= MOST_BYTES_BESIDE]
        for file in small:
            fetcher.fetch(file, beside / PurePosixPath(file).name)
    notes = [choice.note] if choice.note else []
    notes += [f"{file} was not fetched: it is too large to be read" for file in others if file not in small]
    comments = _comments(repository, choice.file, path)
    return FetchedModel(path, address.name, comments, beside if small else None, tuple(notes))


class _Fetcher:
    """Brings files of one repository onto the disk."""

    def __init__(self, repository: HubRepository, client: httpx.Client, watch: Watch | None) -> None:
        self._repository = repository
        self._client = client
        self._watch = watch

    def fetch(self, file: str, target: Path) -> Path:
        repository, watch = self._repository, self._watch
        address = repository.address
        if not is_inside(file):
            raise SourceError(address, f"'{one_line(file)}' is no path inside of a repository")
        expected = repository.files[file]
        if target.is_file() and expected.difference(target) is None:
            return target
        cached = in_clients_cache(repository, file)
        if cached is not None and expected.is_proof and expected.difference(cached) is None:
            put_copy(cached, target)
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        url, headers = file_request(repository, file)
        try:
            transfer(
                self._client,
                url,
                part,
                expected,
                name=PurePosixPath(file).name,
                headers=headers,
                progress=None if watch is None else lambda done, total: watch(file, done, total),
                answer_seconds=_ANSWER_SECONDS,
                is_patient=True,
            )
        except TransferError as error:
            raise self._error(file, error) from None
        part.replace(target)
        return target

    def _error(self, file: str, error: TransferError) -> SourceError:
        repository = self._repository
        address = HubAddress(repository.address.repository, file, repository.address.revision)
        if error.status is not None and error.status != 404:
            return http_error(address, repository.endpoint, error.status, repository.is_gated)
        return SourceError(address, str(error), "run the same command again, which goes on where this one stopped")


def _folder(repository: HubRepository) -> Path:
    host = re.sub(r"[^A-Za-z0-9.-]+", "_", urlsplit(repository.endpoint).netloc)
    name = repository.address.repository.replace("/", "--")
    return cache_folder() / "sources" / host / name / repository.commit


def _parts_of_folder(repository: HubRepository, file: str) -> list[str]:
    """The files of a model that is a folder which this file marks; none where it is a file."""
    place = PurePosixPath(file)
    source = next((kind.source for kind in kinds() if place.name in kind.source.members), None)
    if source is None:
        return []
    folder = "" if str(place.parent) == "." else f"{place.parent}/"
    inside = [other for other in repository.files if other.startswith(folder)]
    return [other for other in inside if any(fnmatchcase(other[len(folder) :], part) for part in source.parts)]


def _companions(repository: HubRepository, file: str, path: Path) -> list[str]:
    """Files without which the model cannot be loaded."""
    kind = find_model(path).kind
    weights = [str(PurePosixPath(file).parent / needed) for needed in handling(kind).needs(path)]
    for weight in weights:
        if weight not in repository.files:
            raise SourceError(
                repository.address,
                f"{file} keeps weights in '{one_line(weight)}', which the repository has not",
                "name another file of it",
            )
    return weights


def _comments(repository: HubRepository, file: str, path: Path) -> tuple[str, ...]:
    revision = repository.address.revision
    named = f" ({one_line(revision)})" if revision and revision != repository.commit else ""
    sha256 = repository.files[file].sha256 or sha256_of(path)
    return (
        f"From: {repository.page}, file {one_line(file)}",
        f"Revision: {repository.commit}{named}",
        f"Licence: {repository.licence or 'the repository states none'}",
        f"SHA-256: {sha256}",
    )
