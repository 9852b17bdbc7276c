"""V2 over HTTP/REST, with Triton's extensions."""

from tcli_server.protocols.http.limits import HttpLimits
from tcli_server.protocols.http.server import DEFAULT_MAX_INPUT_SIZE, HttpServer, start_http

__all__ = ["DEFAULT_MAX_INPUT_SIZE", "HttpLimits", "HttpServer", "start_http"]
