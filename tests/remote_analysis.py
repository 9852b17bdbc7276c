"""An analysis of a model on a server as a process of its own, which can be ended in the middle."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PROGRAM = """
import sys, threading
from tcli_analyzer.bench.remote import RemoteBench
from tcli_analyzer.configuration import Configuration, vary
from tcli_analyzer.inputs import RandomSource, resolve_shapes
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import VisitOptions

with RemoteBench(sys.argv[1], sys.argv[2], threading.Event()) as bench:
    bench.source = RandomSource(resolve_shapes(bench.complete, {})[0])
    print("begun", flush=True)
    while True:
        for size in (1, 2):
            configuration = Configuration(f"batch {size}", size, 1, vary(bench.complete, size, 1))
            bench.visit(configuration, ClosedLoad(1), VisitOptions(seconds=0.05, warm_up_seconds=0.02))
            print("guardian", bench.guardian, flush=True)
"""


@contextmanager
def analyzing(url: str, model: str) -> Iterator[subprocess.Popen[str]]:
    """It goes on until it is ended."""
    command = [sys.executable, "-c", _PROGRAM, url, model]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def guardian_of(process: subprocess.Popen[str]) -> int:
    """The process that looks after it; waits for the first visit to end."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("guardian"):
            return int(line.split()[1])
    raise AssertionError(process.stderr.read() if process.stderr is not None else "")
