"""Holds the ports that the workers share, so that they have the same and nobody else gets them."""

import errno
import socket
from dataclasses import replace

from tcli_server.serving import Endpoint, ServeOptions, bind_errors, endpoints


class SharedPorts:
    """A bound socket for HTTP and one for gRPC, which never listen.

    Args:
        options: already checked by `check_endpoints`.

    Attributes:
        options: the same with the ports that were given in place of 0.

    Raises:
        ServerError: an address cannot be had.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._sockets: list[socket.socket] = []
        self.options = options
        for endpoint in endpoints(options):
            if endpoint.name == "metrics":
                continue
            try:
                with bind_errors(endpoint):
                    held = _bind(endpoint)
            except BaseException:
                self.close()
                raise
            self._sockets.append(held)
            port = held.getsockname()[1]
            self.options = (
                replace(self.options, http_port=port)
                if endpoint.name == "http"
                else replace(self.options, grpc_port=port)
            )

    def close(self) -> None:
        """Give them back."""
        for held in self._sockets:
            held.close()


def _bind(endpoint: Endpoint) -> socket.socket:
    """Two servers that start at once must not share a port by mistake, so only what just ended is no obstacle."""
    try:
        return _bound(endpoint, reuse_address=False)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return _bound(endpoint, reuse_address=True)


def _bound(endpoint: Endpoint, reuse_address: bool) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0]
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse_address))
        if endpoint.shared:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
        held.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEPORT, 1
        )  # else not before, or `bind` would share it with anybody
    except BaseException:
        held.close()
        raise
    return held
