"""Models from where they are: an address on the web, or a repository of the hub, becomes a file on this machine."""

from tcli_server.zoo.sources.address import HubAddress, WebAddress, is_remote, parse_source
from tcli_server.zoo.sources.fetched import FetchedModel, SourceError, Watch
from tcli_server.zoo.sources.hub import fetch_from_hub
from tcli_server.zoo.sources.web import fetch_from_web

__all__ = [
    "FetchedModel",
    "HubAddress",
    "SourceError",
    "Watch",
    "WebAddress",
    "fetch_source",
    "is_remote",
    "parse_source",
]


def fetch_source(text: str, watch: Watch | None = None) -> FetchedModel:
    """The model that a text names which `is_remote`, fetched into the cache; `watch` is told about progress.

    Raises:
        InvalidArgumentError: the text is no form that is fetched.
        SourceError: the model cannot be had; says why and what to do.
        OSError: the cache cannot be written.
    """
    source = parse_source(text)
    return fetch_from_hub(source, watch) if isinstance(source, HubAddress) else fetch_from_web(source, watch)
