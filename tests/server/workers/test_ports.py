"""The ports that workers share."""

import os
import socket
from dataclasses import replace

import pytest

from tcli_server.errors import UnavailableError
from tcli_server.serving import ServeOptions
from tcli_server.workers.ports import SharedPorts

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="SO_REUSEPORT shares a port on Linux")


def options(port: int) -> ServeOptions:
    return ServeOptions(http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False)


def test_workers_get_a_held_port_and_another_server_does_not():
    held = SharedPorts(options(0))
    port = held.options.http_port
    with pytest.raises(UnavailableError, match=f"port {port} on 127.0.0.1 is in use"):
        SharedPorts(options(port))
    for _ in range(2):
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", port))
            worker.listen()
    held.close()
    SharedPorts(options(port)).close()


def test_servers_with_workers_share_a_port_where_all_want_so():
    held = SharedPorts(replace(options(0), reuse_http_port=True))
    port = held.options.http_port
    SharedPorts(replace(options(port), reuse_http_port=True)).close()
    with pytest.raises(UnavailableError, match="is in use"):
        SharedPorts(options(port))
    held.close()
