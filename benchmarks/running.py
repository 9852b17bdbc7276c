"""Starts and stops the programs that the benchmarks measure."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Ports:
    """Where a server listens on loopback, its process, and whether it has the statistics extension."""

    http: int
    grpc: int
    pid: int
    counts: bool = True
    metrics: int = 0

    def cpu_seconds(self) -> float:
        """Processor time that the server has used."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def tcli_serve(
    repository: Path, *options: str, checkout: Path = HERE.parent, under: tuple[str, ...] = ()
) -> Iterator[Ports]:
    """`tcli serve` on free ports, ready; `checkout` says whose code runs, `under` what program runs it, if not the system.

    Raises:
        RuntimeError: it did not become ready; what it said is part of the message.
    """
    folders = [checkout / name for name in (".", "server", "client", "analyzer")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    http, grpc, metrics = free_ports(3)
    command = [
        *under,
        *(sys.executable, "-m", "triton_cli", "serve", f"--model-repository={repository.absolute()}"),
        *(f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"),
        *("--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1"),
        *options,
    ]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment, cwd=checkout) as process,
    ):
        try:
            try:
                wait_until_ready(process, http, 300 if under else 60)
            except RuntimeError as error:
                said.seek(0)
                raise RuntimeError(f"{error}: {said.read()[-2000:].decode(errors='replace')}") from None
            yield Ports(http, grpc, process.pid, metrics=metrics)
        finally:
            process.terminate()


def wait_until_ready(
    process: "subprocess.Popen[bytes] | subprocess.Popen[str]", http_port: int, seconds: float = 60
) -> None:
    """Poll the readiness endpoint.

    Raises:
        RuntimeError: the server ended, or took too long.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{http_port}/v2/health/ready", timeout=5).close()
            return
        time.sleep(0.01)
    raise RuntimeError("the server did not become ready")


def floor_server() -> contextlib.AbstractContextManager[Ports]:
    """`benchmarks/floor.py`."""
    return printing_ports("floor.py")


def asgi_floor_server() -> contextlib.AbstractContextManager[Ports]:
    """`benchmarks/asgi_floor.py`, which has no gRPC."""
    return printing_ports("asgi_floor.py")


def no_work_server() -> contextlib.AbstractContextManager[Ports]:
    """`benchmarks/no_work.py`, which has no gRPC."""
    return printing_ports("no_work.py")


@contextlib.contextmanager
def printing_ports(script: str, *options: str) -> Iterator[Ports]:
    """A program of this folder that prints its ports as JSON when it listens."""
    with subprocess.Popen([sys.executable, str(HERE / script), *options], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            ports = json.loads(process.stdout.readline())
            yield Ports(ports["http"], ports["grpc"], process.pid, counts=False)
        finally:
            process.terminate()


def load(protocol: str, port: int, model: str, inputs: list[str], concurrency: int, seconds: float) -> dict[str, float]:
    """Run `benchmarks/load.py` in a process of its own."""
    command = [
        *(sys.executable, str(HERE / "load.py"), protocol, f"127.0.0.1:{port}", model),
        *("--concurrency", str(concurrency), "--seconds", str(seconds), "--inputs", *inputs),
    ]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout))


def checked_load(
    protocol: str, ports: Ports, model: str, inputs: list[str], concurrency: int, seconds: float
) -> dict[str, float]:
    """`load` against a server with the statistics extension, which must have counted as many successes as the load.

    Raises:
        RuntimeError: it has not: some answers were none, or inferences ran that nobody got the answer of.
    """
    before = settled_successes(ports.http, model)
    measured = load(protocol, getattr(ports, protocol), model, inputs, concurrency, seconds)
    counted = successes(ports.http, model) - before
    # Over HTTP the load ends in the midst of a request on each connection.
    most = measured["requests"] + (concurrency if protocol == "http" else 0)
    if not measured["requests"] <= counted <= most:
        raise RuntimeError(
            f"{protocol}: the load counted {measured['requests']} answers, the server {counted} successes"
        )
    return measured


def settled_successes(http_port: int, model: str) -> int:
    """As `successes`, once what an earlier load left behind has run."""
    count = successes(http_port, model)
    while True:
        time.sleep(0.05)
        before, count = count, successes(http_port, model)
        if before == count:
            return count


def successes(http_port: int, model: str) -> int:
    """Requests to a model that its server has answered well."""
    with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/v2/models/{model}/stats", timeout=5) as answer:
        (statistics,) = json.load(answer)["model_stats"]
    return int(statistics["inference_stats"]["success"]["count"])


def write_json(path: Path | None, figures: object) -> None:
    """Keep what a benchmark found in a file, if one is named."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n")
