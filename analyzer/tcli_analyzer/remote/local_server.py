"""Finds the processes of a server that runs on this machine, so that their processor time can be watched."""

import ipaddress
import os
import socket
from contextlib import suppress

import psutil

from tcli_client import Address


def is_local(address: Address) -> bool:
    """Whether the host is this machine, as far as its addresses tell."""
    with suppress(OSError, ValueError):
        found = {info[4][0] for info in socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)}
        own = {each.address for many in psutil.net_if_addrs().values() for each in many}
        return all(ipaddress.ip_address(str(each).split("%")[0]).is_loopback or each in own for each in found)
    return False


def watched_processes(address: Address) -> tuple[int, ...]:
    """This process and, of a server on this machine, the server's with all that it started.

    Empty where the server is on this machine but not ours to see (another user's, or in a container): nobody can tell then
    who disturbs whom.
    """
    if not is_local(address):
        return (os.getpid(),)
    server = _listening(address.port)
    if server is None:
        return ()
    with suppress(psutil.Error):
        return (os.getpid(), server, *(child.pid for child in psutil.Process(server).children(recursive=True)))
    return ()


def _listening(port: int) -> int | None:
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                return connection.pid
    return None
