"""Which handler answers a path."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from tcli_server.protocols.http.exchange import JSON, Exchange

RouteHandler = Callable[[Exchange, str, str], None]
"""Called with the exchange, the model's name and its version (both empty where the path has none)."""

_CACHED_PATHS = 1024
_CACHED_PATH_BYTES = 256
_QUERY = re.compile(rb"[?#]")


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table: `pattern` matches the whole path and may name groups `model` and `version`."""

    method: bytes
    pattern: re.Pattern[str]
    handler: RouteHandler


def route(method: str, pattern: str, handler: RouteHandler) -> Route:
    """A row; in `pattern`, `{model}` stands for a model's name with an optional version behind it."""
    expanded = pattern.replace("{model}", r"(?P<model>[^/]+)(?:/versions/(?P<version>[0-9]+))?")
    return Route(method.encode(), re.compile(expanded), handler)


class Router:
    """Finds the first route whose pattern matches; 405 where only the method is wrong, 404 where nothing matches.

    HEAD is answered as GET is, and the connection leaves out the body.
    """

    def __init__(self, routes: list[Route]) -> None:
        self._routes = routes
        self._cache: dict[tuple[bytes, bytes], tuple[RouteHandler, str, str]] = {}

    @property
    def routes(self) -> tuple[Route, ...]:
        """In the order in which they are tried."""
        return tuple(self._routes)

    def answer(self, exchange: Exchange) -> None:
        """Have the exchange answered."""
        key = (exchange.method, exchange.path)
        found = self._cache.get(key)
        if found is None:
            found = self._match(exchange)
            if found is None:
                return
            if len(self._cache) < _CACHED_PATHS and len(exchange.path) <= _CACHED_PATH_BYTES:
                self._cache[key] = found
        handler, model, version = found
        handler(exchange, model, version)

    def takes(self, method: bytes, path: bytes) -> bool:
        """Whether there is a route."""
        text = _QUERY.split(path, 1)[0].decode("latin-1")
        return any(route.method == method and route.pattern.fullmatch(text) for route in self._routes)

    def _match(self, exchange: Exchange) -> tuple[RouteHandler, str, str] | None:
        path = _QUERY.split(exchange.path, 1)[0].decode("latin-1")
        method = b"GET" if exchange.method == b"HEAD" else exchange.method
        allowed: list[bytes] = []
        for candidate in self._routes:
            match = candidate.pattern.fullmatch(path)
            if match is None:
                continue
            allowed += [b"GET", b"HEAD"] if candidate.method == b"GET" else [candidate.method]
            if candidate.method == method:
                groups = match.groupdict()
                return candidate.handler, unquote(groups.get("model") or ""), groups.get("version") or ""
        if allowed:
            exchange.fail(405, "Method Not Allowed", JSON + b"Allow: %s\r\n" % b", ".join(dict.fromkeys(allowed)))
        else:
            exchange.fail(404, "Not Found")
        return None
