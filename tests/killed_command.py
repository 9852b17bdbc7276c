"""Runs `tcli` commands, each in a process of its own that ends itself at a place in its work that is given.

The place is counted in what the process does to files, so it is the same on every machine. Python tells an audit hook of each
file that is opened, renamed, made or taken away, before it happens; between two of these, nothing that another process could
see changes but the length of a file that is being written.

A program that has imported everything forks for each command, since importing takes longer than the jobs of the tests.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.listdir", "shutil.rmtree")


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: its exit status; minus the number of the signal that killed it.
        events: how many times it was about to change something below its folder.
        errors: what it wrote to stderr.
    """

    status: int
    events: int
    errors: str


class Commands:
    """Starts commands."""

    def __init__(self, program: "subprocess.Popen[str]") -> None:
        self._program = program

    def run(
        self,
        folder: Path,
        arguments: Sequence[str],
        at: int = 0,
        number: signal.Signals = signal.SIGKILL,
        file_bytes: int = 0,
    ) -> Ended:
        """Run `tcli`, in a folder, to its end.

        Args:
            at: which event there gets it a signal, from 1; 0 for none.
            file_bytes: no file may become larger; 0 for no limit.
        """
        asked = [os.fspath(folder), list(arguments), at, int(number), file_bytes]
        self._program.stdin.write(json.dumps(asked) + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline()
        assert answer, "the program that forks is gone"
        return Ended(*json.loads(answer))


@contextmanager
def commands() -> Iterator[Commands]:
    """A program that forks, as long as it is needed."""
    program = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Commands(program)
    finally:
        program.stdin.close()
        program.wait()
        program.stdout.close()


def _child(asked: list, counted: int, errors: int) -> None:
    import resource

    import tcli_batch.gathering
    import tcli_batch.job
    from triton_cli.__main__ import main

    folder, arguments, at, number, file_bytes = asked
    os.chdir(folder)
    tcli_batch.gathering._MOST_ROWS = tcli_batch.job.PART_BYTES = 1  # a part for each request
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    events = 0

    def hook(event: str, values: tuple) -> None:
        nonlocal events
        if event not in EVENTS or not isinstance(values[0], str | os.PathLike) or ".parts" not in str(values[0]):
            return
        events += 1
        os.pwrite(counted, b"%d" % events, 0)
        if events == at:
            os.kill(os.getpid(), number)

    sys.addaudithook(hook)
    sys.argv = ["tcli", *arguments]
    main()


def _serve() -> None:
    import tempfile

    import onnxruntime  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import tcli_batch.local
    import triton_cli.app  # noqa: F401

    assert tcli_batch.local
    for line in sys.stdin:
        with tempfile.TemporaryFile() as counted, tempfile.TemporaryFile() as errors:
            pid = os.fork()
            if not pid:
                status = 99
                try:
                    _child(json.loads(line), counted.fileno(), errors.fileno())
                except SystemExit as ended:
                    status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
                except BaseException:
                    import traceback

                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(status)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            counted.seek(0)
            errors.seek(0)
            said = errors.read().decode(errors="backslashreplace")
            print(json.dumps([status, int(counted.read() or 0), said]), flush=True)


if __name__ == "__main__":
    _serve()
