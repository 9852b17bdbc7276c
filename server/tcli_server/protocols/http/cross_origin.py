"""Keeps pages of other sites from changing a server through the browser of somebody who can reach it.

A browser lets any page send a plain POST anywhere, and only keeps the answer from it. As in Triton, requests may be of any
content type, so that such a POST could load models. Browsers say where a request comes from, though, and no other client does.
"""

from urllib.parse import urlsplit

from tcli_server.protocols.http.exchange import Exchange
from tcli_server.protocols.http.routes import Route, RouteHandler


def same_origin_only(routes: list[Route]) -> list[Route]:
    """These routes, where a POST from a page of another origin is answered 403."""
    return [Route(one.method, one.pattern, _guarded(one.handler)) if one.method == b"POST" else one for one in routes]


def _guarded(handler: RouteHandler) -> RouteHandler:
    def answer(exchange: Exchange, model: str, version: str) -> None:
        if comes_from_elsewhere(exchange.headers):
            exchange.fail(
                403,
                "a page of another origin asked for this, which the browser told by its headers Sec-Fetch-Site and Origin. "
                "Models and settings are changed by pages of this server, and by programs",
            )
        else:
            handler(exchange, model, version)

    return answer


def comes_from_elsewhere(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser sent this for a page of another origin.

    `Sec-Fetch-Site` decides where it is sent, which is over TLS and to loopback; elsewhere `Origin` has to name the host that
    was asked. Behind a proxy that changes `Host`, over plain HTTP, the server's own page therefore counts as another's.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get(b"host", b"").lower()
    except ValueError:  # no address at all
        return True
