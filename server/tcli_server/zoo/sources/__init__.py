"""Models from where they are: an address on the web, or a repository of the hub, becomes a file on this machine."""

from tcli_server.zoo.sources.address import HubAddress, WebAddress, is_remote, parse_source
from tcli_server.zoo.sources.fetched import FetchedModel, SourceError, Watch
from tcli_server.zoo.sources.fetching import fetch_source
from tcli_server.zoo.sources.own_repository import OwnRepository, own_repository

__all__ = [
    "FetchedModel",
    "HubAddress",
    "OwnRepository",
    "SourceError",
    "Watch",
    "WebAddress",
    "fetch_source",
    "is_remote",
    "own_repository",
    "parse_source",
]
