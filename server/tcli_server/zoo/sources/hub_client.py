"""Asks the hub what a repository has, by the hub's own client: the one file that knows `huggingface_hub`.

The client finds the hub (HF_ENDPOINT), the token (HF_TOKEN, or what `hf auth login` stored) and what its own cache has. The
bytes are fetched by `transfer`, because the client throws away what it has when it is interrupted, and compares no hashes.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tcli_server.zoo.expected import Expected
from tcli_server.zoo.sources.address import HubAddress, WebAddress
from tcli_server.zoo.sources.fetched import SourceError, one_line

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_GIT_NAME = re.compile(r"[0-9a-f]{40}")
_LOG_IN = "set HF_TOKEN to a token of yours that may read it, or run 'hf auth login'"


@dataclass(frozen=True, slots=True)
class HubRepository:
    """A repository of the hub at one commit.

    Attributes:
        endpoint: where the hub is, as it may be shown.
        licence: as the repository states it, empty where it states none.
        is_gated: who wants the files must have agreed to conditions.
        files: path -> what is known about the file.
    """

    address: HubAddress
    endpoint: str
    commit: str
    licence: str
    is_gated: bool
    files: dict[str, Expected] = field(repr=False)

    @property
    def page(self) -> str:
        return f"{self.endpoint}/{self.address.repository}"


def look_up(address: HubAddress) -> HubRepository:
    """What the hub says about a repository at a revision.

    Raises:
        SourceError: there is none, it may not be read, or the hub does not answer.
    """
    client = _client(address)
    endpoint = WebAddress(client.constants.ENDPOINT).shown
    seconds = float(client.constants.HF_HUB_ETAG_TIMEOUT)
    errors = client.errors
    page = f"{endpoint}/{address.repository}"
    try:
        info = client.HfApi(library_name="tcli").model_info(
            address.repository, revision=address.revision, files_metadata=True, timeout=seconds
        )
        return _repository(address, endpoint, info)
    except errors.GatedRepoError:
        raise SourceError(address, "the repository is gated", _agree(page)) from None
    except errors.RevisionNotFoundError:
        raise SourceError(
            address, f"the repository has no revision '{address.revision}'", _revision_fix(address)
        ) from None
    except errors.RepositoryNotFoundError:
        raise SourceError(address, f"{endpoint} has no such repository, or it is private", _access_fix()) from None
    except errors.HfHubHTTPError as error:
        raise http_error(address, endpoint, error.response.status_code) from None
    except errors.OfflineModeIsEnabled:
        raise SourceError(address, "HF_HUB_OFFLINE forbids to ask the hub", "unset it") from None
    except errors.HFValidationError as error:
        raise SourceError(address, one_line(str(error).partition("\n")[0]).rstrip(".")) from None
    except UnicodeEncodeError:
        raise SourceError(address, "the token that is set has letters that no token has", _LOG_IN) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        reason = f"{endpoint} answers, but not as the hub does"
        raise SourceError(address, reason, "check HF_ENDPOINT, and whether a proxy answers instead") from None
    except Exception as error:  # of the HTTP library below the client, which is another one from version to version
        reason = one_line(error) or type(error).__name__
        raise SourceError(
            address, f"{endpoint} cannot be reached ({reason})", "check the network, and HF_ENDPOINT where it is set"
        ) from None


def http_error(address: HubAddress, endpoint: str, status: int, is_gated: bool = False) -> SourceError:
    """The error for a status with which the hub refuses."""
    if status in (401, 403) and is_gated:
        return SourceError(address, "the repository is gated", _agree(f"{endpoint}/{address.repository}"))
    if status == 401:
        return SourceError(address, f"{endpoint} does not accept the token, or wants one", _LOG_IN)
    if status == 403:
        return SourceError(address, f"{endpoint} forbids to read it", _LOG_IN)
    if status == 429:
        more = "" if _token() else ", or set HF_TOKEN, which allows more"
        return SourceError(address, f"{endpoint} was asked too often (HTTP 429)", f"wait some minutes{more}")
    if status >= 500:
        return SourceError(address, f"{endpoint} has a problem of its own (HTTP {status})", "try again later")
    return SourceError(address, f"{endpoint} answers HTTP {status}", "check the name, and HF_ENDPOINT where it is set")


def file_request(repository: HubRepository, file: str) -> tuple[str, dict[str, str]]:
    """The address of a file at the repository's commit, and the headers that it is asked with; both may be secret."""
    client = _client(repository.address)
    url = client.hf_hub_url(repository.address.repository, file, revision=repository.commit)
    return url, dict(client.utils.build_hf_headers(library_name="tcli"))


def in_clients_cache(repository: HubRepository, file: str) -> Path | None:
    """The file in the cache that the client shares with other programs, None where it is not there."""
    client = _client(repository.address)
    found = client.try_to_load_from_cache(repository.address.repository, file, revision=repository.commit)
    return Path(found) if isinstance(found, str) else None


def stall_seconds(repository: HubRepository) -> float:
    """How long a download may be silent, as the client's users set it (HF_HUB_DOWNLOAD_TIMEOUT)."""
    return float(_client(repository.address).constants.HF_HUB_DOWNLOAD_TIMEOUT)


def _client(address: HubAddress) -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError:
        raise SourceError(address, "needs the hub's client", 'pip install "tcli[hub]"') from None
    return huggingface_hub


def _token() -> str | None:
    import huggingface_hub

    token: str | None = huggingface_hub.get_token()
    return token


def _repository(address: HubAddress, endpoint: str, info: Any) -> HubRepository:
    """What a `ModelInfo` says, with nothing believed that has not the right form."""
    if not isinstance(info.sha, str) or not _COMMIT.fullmatch(info.sha):
        raise ValueError(info.sha)
    files = {str(sibling.rfilename): _expected(sibling) for sibling in info.siblings or ()}
    return HubRepository(address, endpoint, info.sha, _licence(info), bool(info.gated), files)


def _expected(sibling: Any) -> Expected:
    size = sibling.size if isinstance(sibling.size, int) and sibling.size >= 0 else None
    if sibling.lfs is not None:
        digest = sibling.lfs.sha256
        return Expected(size, digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None)
    blob = sibling.blob_id
    return Expected(size, git_sha1=blob if isinstance(blob, str) and _GIT_NAME.fullmatch(blob) else None)


def _licence(info: Any) -> str:
    card = info.card_data.to_dict() if info.card_data is not None else {}
    stated = card.get("license")
    if not stated:
        stated = [tag.partition(":")[2] for tag in info.tags or () if str(tag).startswith("license:")]
    name = one_line(", ".join(map(str, stated)) if isinstance(stated, list) else stated or "")
    more = [one_line(card[key]) for key in ("license_name", "license_link") if card.get(key)]
    return f"{name} ({', '.join(more)})" if name and more else name


def _agree(page: str) -> str:
    return f"agree to its conditions at {page}, then {_LOG_IN}"


def _access_fix() -> str:
    if _token():
        return "check the name; if it is right, the token that is set may not read it"
    return f"check the name; for a private one {_LOG_IN}"


def _revision_fix(address: HubAddress) -> str:
    revision, slash, file = (address.revision or "").partition("/")
    if slash and address.file is None and not revision.startswith("refs"):
        return f"the revision comes last: hf:{address.repository}/{file}@{revision}"
    return "name a branch, a tag or a commit of it"
