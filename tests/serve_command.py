"""`tcli serve` as a process of its own, for the tests."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import forked_command

FREE_PORTS = (
    "--http-address",
    "127.0.0.1",
    "--grpc-address=127.0.0.1",
    "--http-port=0",
    "--grpc-port=0",
    "--metrics-port=0",
)
PATIENCE = 60


class Serving:
    """A running `tcli serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output = ""
        deadline = time.monotonic() + PATIENCE
        # The last of the addresses is the last thing that start-up prints.
        while (found := re.findall(r"^(HTTP|gRPC|Metrics) +127\.0\.0\.1:(\d+)$", self.output, re.MULTILINE)) == [] or (
            not self.output.endswith("\n\n")
        ):
            line = process.stdout.readline()
            assert line, f"ended early: {self.output}\n{process.stderr.read()}"
            assert time.monotonic() < deadline
            self.output += line
        self.ports = {name: int(port) for name, port in found}

    def url(self, service: str) -> str:
        return f"127.0.0.1:{self.ports[service]}"

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Signal it and give the exit status and what it wrote to stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@contextmanager
def serving(*options: object) -> Iterator[Serving]:
    command = [sys.executable, "-m", "triton_cli", "serve", *FREE_PORTS, *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Serving(process)
    finally:
        process.kill()
        process.communicate()


def serve(*options: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return forked_command.run("serve", *options, cwd=cwd, timeout=PATIENCE)
