"""The processes of a server, where it runs on this machine."""

import contextlib
import os
import socket
from collections.abc import Iterable

import psutil

from tcli_client import Address

_SERVERS = ("tritonserver", "triton_cli", "tcli")
"""Words in the command of a server. Other programs that listen only hand on: tunnels, proxies of containers."""


def server_processes(address: Address) -> list[int]:
    """The process that listens at the address, and those that it started; empty where that cannot be seen."""
    if not _is_here(address.host):
        return []
    found: dict[int, None] = {}
    with contextlib.suppress(psutil.Error, OSError):
        for pid in _listeners(address.port):
            process = psutil.Process(pid)
            if _is_server(process.cmdline()):
                for one in (process, *process.children(recursive=True)):
                    found[one.pid] = None
    return list(found)


def watched_processes(address: Address) -> tuple[int, ...]:
    """This process and, of a server on this machine, the server's with all that it started.

    Empty where the server is on this machine but cannot be seen (another user's, or in a container): nobody can tell then who
    disturbs whom.
    """
    if not _is_here(address.host):
        return (os.getpid(),)
    found = server_processes(address)
    return (os.getpid(), *found) if found else ()


def resident_mib(pids: Iterable[int]) -> float:
    """Their resident memory, all together."""
    held = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            held += int(psutil.Process(pid).memory_info().rss)
    return held / (1 << 20)


def _listeners(port: int) -> set[int]:
    try:
        sockets = psutil.net_connections("tcp")
    except psutil.AccessDenied:  # some systems tell only of a process that is asked for
        sockets = []
    pids = {one.pid for one in sockets if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port}
    return {pid for pid in pids if pid}


def _is_server(command: Iterable[str]) -> bool:
    words = [word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe") for word in command]
    return any(word in _SERVERS for word in words)


def _is_here(host: str) -> bool:
    with contextlib.suppress(OSError):
        asked = {str(one[4][0]) for one in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
        own = {one.address.partition("%")[0] for each in psutil.net_if_addrs().values() for one in each}
        return bool(asked) and all(one in own or one.startswith("127.") or one == "::1" for one in asked)
    return False
