"""V2 over HTTP/REST, with Triton's extensions."""

from tcli_server.protocols.http.limits import HttpLimits
from tcli_server.protocols.http.options import DEFAULT_MAX_INPUT_SIZE, HttpOptions
from tcli_server.protocols.http.server import HttpServer, start_http

__all__ = ["DEFAULT_MAX_INPUT_SIZE", "HttpLimits", "HttpOptions", "HttpServer", "start_http"]
