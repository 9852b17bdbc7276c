"""Fetches a model from wherever it is."""

from tcli_server.zoo.sources.address import HubAddress, WebAddress, parse_source
from tcli_server.zoo.sources.fetched import FetchedModel, Watch
from tcli_server.zoo.sources.hub import fetch_from_hub
from tcli_server.zoo.sources.web import fetch_from_web


def fetch_source(text: str, watch: Watch | None = None) -> FetchedModel:
    """The model that a text names which `is_remote`, fetched into the cache; `watch` is told about progress.

    Raises:
        InvalidArgumentError: the text is no form that is fetched.
        SourceError: the model cannot be had; says why and what to do.
        OSError: the cache cannot be written.
    """
    return fetch(parse_source(text), watch)


def fetch(address: HubAddress | WebAddress, watch: Watch | None = None) -> FetchedModel:
    """As `fetch_source`, for an address that was understood."""
    return fetch_from_hub(address, watch) if isinstance(address, HubAddress) else fetch_from_web(address, watch)
