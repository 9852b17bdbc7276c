"""A model that is reloaded again and again under load: does a request fail?

    python benchmarks/rolling_reload.py [--way load poll workers] [--seconds 300] [--json FILE]

Eight clients, four over HTTP and four over gRPC, each with one request after the other. `load`: a new version every 0.2 s by the load API,
and the oldest removed; `poll`: the same, found by `--repository-poll-secs=1`; `workers`: SIGHUP to `--workers=2` as often as it is done.
"""

import argparse
import json
import os
import signal
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from callers import Callers
from running import Ports, tcli_serve, write_json
from soak_models import remove_old_versions, write_repository, write_version

_MODEL = "reloaded"
_OPTIONS = {
    "load": ["--model-control-mode=explicit", f"--load-model={_MODEL}"],
    "poll": ["--model-control-mode=poll", "--repository-poll-secs=1"],
    "workers": ["--model-control-mode=explicit", f"--load-model={_MODEL}", "--workers=2"],
}


def by_load(server: Ports, repository: Path) -> None:
    """One reload."""
    write_version(repository, _MODEL)
    url = f"http://127.0.0.1:{server.http}/v2/repository/models/{_MODEL}/load"
    urllib.request.urlopen(urllib.request.Request(url, b"{}"), timeout=60).close()
    remove_old_versions(repository, _MODEL)
    time.sleep(0.2)


def by_poll(server: Ports, repository: Path) -> None:
    """One reload, waited for.

    Raises:
        RuntimeError: it did not happen.
    """
    version = write_version(repository, _MODEL)
    deadline = time.monotonic() + 60
    while (version,) != _versions(server):
        if time.monotonic() > deadline:
            raise RuntimeError(f"version {version} was not loaded")
        time.sleep(0.05)
    remove_old_versions(repository, _MODEL)


def by_workers(server: Ports, _: Path) -> None:
    """Two new processes, waited for.

    Raises:
        RuntimeError: they did not come.
    """
    supervisor = psutil.Process(server.pid)
    before = _workers(supervisor)
    os.kill(server.pid, signal.SIGHUP)
    deadline = time.monotonic() + 120
    while len(now := _workers(supervisor)) != 2 or now & before:
        if time.monotonic() > deadline:
            raise RuntimeError("the workers were not replaced")
        time.sleep(0.05)


def _versions(server: Ports) -> tuple[int, ...]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http}/v2/models/{_MODEL}", timeout=60) as answer:
        return tuple(map(int, json.load(answer)["versions"]))


def _workers(supervisor: psutil.Process) -> set[int]:
    found = set()
    for child in supervisor.children():
        try:
            if any("tcli_server.workers" in word for word in child.cmdline()):
                found.add(child.pid)
        except psutil.Error:
            continue
    return found


_WAYS = {"load": by_load, "poll": by_poll, "workers": by_workers}


def measure(way: str, seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        repository = write_repository(Path(folder) / "models")
        with tcli_serve(repository, *_OPTIONS[way]) as server:
            callers = Callers(server.http, server.grpc, (_MODEL,))
            callers.start()
            reloads = 0
            until = time.monotonic() + seconds
            try:
                while time.monotonic() < until:
                    _WAYS[way](server, repository)
                    reloads += 1
            finally:
                outcomes = callers.stop()
    return {"way": way, "reloads": reloads, **{protocol: outcome.summary() for protocol, outcome in outcomes.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", nargs="+", default=list(_WAYS), choices=list(_WAYS))
    parser.add_argument("--seconds", type=float, default=300, help="for each way")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    found = []
    for way in args.way:
        found.append(measure(way, args.seconds))
        print(found[-1], flush=True)
    write_json(args.json, found)


if __name__ == "__main__":
    main()
