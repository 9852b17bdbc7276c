"""`tcli demo`: the whole job in one go, by running the plain commands that a user would type."""

import contextlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from triton_cli.console import err, fail, out
from triton_cli.sample import sample_photo

_MODEL = "efficientnet_lite0"
_ANALYSIS_TIME = "40s"
_READY_SECONDS = 60
_STOP_SECONDS = 10

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Option("--dir", help="Where to write the model repository and the report.", file_okay=False)
    ] = Path("tcli_demo"),
) -> None:
    """Scaffold, serve, classify and analyze, step by step, with the plain command for each step.

    Needs no network and no GPU. A second run reuses what is there.

    \b
    Examples:
      tcli demo
      tcli demo --dir /tmp/demo
    """
    signal.signal(signal.SIGTERM, _interrupt)
    directory.mkdir(parents=True, exist_ok=True)
    repository = directory / "model_repository"
    photo = directory / "coffee.jpg"
    if not photo.exists():
        shutil.copyfile(sample_photo(), photo)
    try:
        _step(1, "Scaffold a model repository")
        _run("repo", "init", str(repository))
        http, grpc, metrics = _free_ports(3)
        _step(2, "Serve it over HTTP and gRPC")
        with _server(repository, http, grpc, metrics):
            _step(3, "Classify the sample photo over HTTP")
            _run("infer", str(photo), "-m", _MODEL, "-u", f"127.0.0.1:{http}")
            _step(4, "Classify it over gRPC")
            _run("infer", str(photo), "-m", _MODEL, "-i", "grpc", "-u", f"127.0.0.1:{grpc}")
        _step(5, "Find the best configuration for this machine")
        analysis = directory / "analysis"
        _run(
            *("analyze", "--model", _MODEL, "--model-repository", str(repository), "--output", str(analysis)),
            *("--batch-sizes", "1,4", "--instance-counts", "1,2", "--concurrency", "1,8"),
            *("--max-time", _ANALYSIS_TIME),
        )
    except KeyboardInterrupt:
        err().print("\ninterrupted: the server is stopped, what was written is kept")
        raise typer.Exit(130) from None
    out().print(f"\nThe report: {analysis / 'report.html'}", markup=False)


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    """End a terminated demo like an interrupted one, so that the server goes with it."""
    raise KeyboardInterrupt


def _step(number: int, what: str) -> None:
    out().print(f"\n[bold cyan]{number}. {what}[/]")


def _show(arguments: tuple[str, ...]) -> list[str]:
    """Print the plain command, and give the one that runs this very installation."""
    out().print(f"$ tcli {shlex.join(arguments)}", markup=False, style="bold")
    sys.stdout.flush()
    return [sys.executable, "-m", "triton_cli", *arguments]


def _run(*arguments: str) -> None:
    """Run a command to its end; a failing one ends the demo with its exit status."""
    status = subprocess.run(_show(arguments), check=False).returncode
    if status in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if status:
        err().print(f"the demo stops here: the command above ended with exit status {status}")
        raise typer.Exit(1)


@contextlib.contextmanager
def _server(repository: Path, http: int, grpc: int, metrics: int) -> Iterator[None]:
    """`tcli serve` in the background, ready on entry and gone on exit, whatever happens in between."""
    addresses = [f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")]
    ports = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    process = subprocess.Popen(_show(("serve", f"--model-repository={repository}", *addresses, *ports)))
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{http}/v2/health/ready")
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    from urllib.request import urlopen  # slow to import, and only needed here

    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            fail(f"the server ended with exit status {process.returncode}; its message is above")
        with contextlib.suppress(OSError), urlopen(url, timeout=5):  # URLError is an OSError
            return
        time.sleep(0.05)
    fail(f"the server was not ready within {_READY_SECONDS} s")


def _free_ports(count: int) -> list[int]:
    """Loopback ports that nothing listens on now; held together, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
