"""Where the actors run: a cluster that is there, or one of this machine alone, for as long as a job takes."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tcli_batch.errors import JobError
from tcli_server.hardware.cores import usable_cores

_KNOCK_SECONDS = 5
_STORE_BYTES = 128 << 20
"""Rows never go through Ray's object store, only which of them are whose."""


@dataclass(frozen=True)
class Cluster:
    """What a job may use.

    Attributes:
        actors: that work at a time, each with the model in its memory.
        cores: of each.
    """

    actors: int
    cores: int


def ray_module() -> ModuleType:
    """Ray.

    Raises:
        JobError: it is not there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as problem:
        raise JobError(f"Ray Data is not there: {problem}", "pip install 'tcli[ray]'") from None
    return ray  # type: ignore[no-any-return]


@contextmanager
def connected(address: str = "", actors: int = 0, cores: int = 0) -> Iterator[Cluster]:
    """Be a driver of a cluster; if this process is one already, of that.

    Args:
        address: `HOST:PORT` of a cluster's head, `auto` for the one of this machine; empty to start one here.
        actors: 0 for as many as there is room for.
        cores: of each actor; 0 for those of the smallest node.

    Raises:
        JobError: Ray is not installed, nothing answers there, or there is no room for an actor.
    """
    ray = ray_module()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address)
    try:
        yield _room(ray, actors, cores)
    finally:
        if ours:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said by us
    try:
        if address:
            _knock(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",
                num_cpus=usable_cores(),
                object_store_memory=_STORE_BYTES,
                include_dashboard=False,
                **quiet,
            )
    except (ConnectionError, ValueError, OSError, RuntimeError, AssertionError) as problem:
        where = f"no Ray cluster can be used at '{address}'" if address else "Ray cannot be started here"
        first = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        fix = "--ray-address HOST:PORT is that of 'ray start --head'; `ray status` says whether one is there"
        raise JobError(f"{where}: {first}", fix if address else "") from None


def _knock(address: str) -> None:
    """Ray itself would try for minutes where nothing listens.

    Raises:
        OSError: nothing does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()


def _room(ray: Any, actors: int, cores: int) -> Cluster:
    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    nodes = [count for count in nodes if count > 0]
    cores = cores or min(nodes, default=1)
    room = sum(count // cores for count in nodes)
    if not room:
        raise JobError(
            f"no node of the Ray cluster has {cores} cores: they have {', '.join(map(str, nodes)) or 'none'}"
        )
    return Cluster(min(actors or room, room), cores)
