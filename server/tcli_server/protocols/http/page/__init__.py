"""The web page at `/`: the models and what they do, for people.

It is an ordinary client of the HTTP endpoints, and knows nothing that they do not tell. All its files are here and come from
memory; the page loads nothing from anywhere else, and its policy makes browsers keep to that.
"""

import hashlib
from importlib.resources import files

from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.routes import Route, RouteHandler, route

_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_CONTROL = b"{{model_control}}"
"""Stands in the page for whether clients may load and unload models."""

_SECURITY = (
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
)


def page_routes(model_control: bool) -> list[Route]:
    """The page and the files that it loads.

    Args:
        model_control: clients may load and unload models, so the page has buttons for that.
    """
    routes = []
    for file in files(__name__).iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in _MEDIA_TYPES:
            content = file.read_bytes().replace(_CONTROL, b"true" if model_control else b"false")
            path = "/" if file.name == "index.html" else "/ui/" + file.name.replace(".", r"\.")
            routes.append(route("GET", path, _file(content, _MEDIA_TYPES[suffix])))
    return routes


def _file(content: bytes, media_type: str) -> RouteHandler:
    """Answers with a file, or with 304 to a browser that has it."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    caching = f"ETag: {tag}\r\nCache-Control: no-cache\r\n{_SECURITY}".encode()
    headers = f"Content-Type: {media_type}; charset=utf-8\r\n".encode() + caching
    tag_sent = tag.encode()

    def answer(exchange: Exchange, *_: str) -> None:
        if tag_sent in exchange.headers.get(b"if-none-match", b""):
            exchange.respond(304, b"", caching)
        else:
            exchange.respond(200, content, headers)

    return answer
