"""One of two replicas ends under load: is a request lost?

    python benchmarks/replicas.py [--proxy nginx envoy] [--end kill term withdraw] [--seconds 12] [--delay 5] [--rounds 1] [--json FILE]

Two `tcli serve` behind nginx and behind Envoy, as `deploy/proxies` configures them (addresses replaced), and eight clients, four over
HTTP and four over gRPC, each with one request after the other of a model that takes 20 ms and of one that takes none. After a third of
the time one replica is ended: `kill`: SIGKILL; `term`: SIGTERM; `withdraw`: SIGTERM with `--shutdown-delay-secs`. A client repeats what
failed once: both are counted. Needs nginx 1.22 or newer and Envoy in PATH.
"""

import argparse
import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from callers import Callers, Outcome
from running import HERE, Ports, free_ports, tcli_serve, write_json
from soak_models import write_repository
from triton_cli.deploy_files import deployment_files
from triton_cli.deployment import Deployment
from triton_cli.deployment import Ports as ListenPorts

_MODELS = ("slow", "add")


def proxy_config(file: str, upstream: str, http: int, grpc_port: int, replicas: list[Ports]) -> str:
    """What `tcli deploy compose` writes, with a line for each replica in the place of the one whose name has all their addresses."""
    deployment = Deployment(
        name="replicas",
        image="unused",
        repository=HERE,
        models=_MODELS,
        repository_bytes=0,
        replicas=len(replicas),
        ports=ListenPorts(http, grpc_port, 0),
        cpus="1",
        memory="1Gi",
        gpus=0,
        queue_microseconds=50_000,
    )
    lines = []
    for line in deployment_files("compose", deployment)[file].splitlines():
        for port, where in ((http, "http"), (grpc_port, "grpc")):
            before = upstream.format(host="tcli", port=port)
            if before in line:
                lines += [
                    line.replace(before, upstream.format(host="127.0.0.1", port=getattr(one, where)))
                    for one in replicas
                ]
                break
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def proxy(name: str, replicas: list[Ports], folder: Path) -> Iterator[tuple[int, int]]:
    """Its ports for HTTP and gRPC, once it listens."""
    http_port, grpc_port = free_ports(2)
    if name == "nginx":
        config = folder / "nginx.conf"
        text = proxy_config("nginx.conf", "server {host}:{port} ", http_port, grpc_port, replicas)
        text = text.replace("/tmp/nginx", f"{folder}/nginx")
        command = [_found("nginx"), "-c", str(config), "-g", "daemon off;"]
    else:
        config = folder / "envoy.yaml"
        text = proxy_config("envoy.yaml", "address: {host}, port_value: {port}", http_port, grpc_port, replicas)
        text = text.replace("port_value: 9901", f"port_value: {free_ports(1)[0]}")
        command = [_found("envoy"), "-c", str(config), "--log-level", "warning", "--disable-hot-restart"]
    config.write_text(text)
    with (folder / f"{name}.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_until_it_answers(process, http_port)
            yield http_port, grpc_port
        finally:
            process.terminate()


def _found(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if path is None:
        raise SystemExit(f"there is no {program} in PATH")
    return path


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("the proxy does not answer")


def measure(name: str, end: str, seconds: float, delay: float) -> dict[str, Outcome]:
    """One replica of two ends in the midst of it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repository = write_repository(folder / "models")
        options = ["--model-control-mode=explicit", *(f"--load-model={model}" for model in _MODELS)]
        if end == "withdraw":
            options.append(f"--shutdown-delay-secs={delay}")
        replicas = [stack.enter_context(tcli_serve(repository, *options)) for _ in range(2)]
        http_port, grpc_port = stack.enter_context(proxy(name, replicas, folder))
        callers = Callers(http_port, grpc_port, _MODELS)
        callers.start()
        time.sleep(seconds / 3)
        os.kill(replicas[0].pid, signal.SIGKILL if end == "kill" else signal.SIGTERM)
        time.sleep(2 * seconds / 3)
        return callers.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", nargs="+", default=["nginx", "envoy"], choices=["nginx", "envoy"])
    parser.add_argument("--end", nargs="+", default=["kill", "term", "withdraw"], choices=["kill", "term", "withdraw"])
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--delay", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    found = []
    print(f"{'proxy':>6} {'end':>9} {'protocol':>8} {'answered':>8} {'failed':>6} {'lost':>5}")
    for _ in range(args.rounds):
        for name in args.proxy:
            for end in args.end:
                for protocol, outcome in measure(name, end, args.seconds, args.delay).items():
                    failed = sum(outcome.failed.values())
                    print(
                        f"{name:>6} {end:>9} {protocol:>8} {outcome.answered:>8} {failed:>6} {outcome.lost:>5} "
                        f"{dict(outcome.failed) or ''}",
                        flush=True,
                    )
                    found.append({"proxy": name, "end": end, "protocol": protocol, **outcome.summary()})
    write_json(args.json, found)


if __name__ == "__main__":
    main()
