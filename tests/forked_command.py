"""`tcli` commands that run to their end, each in a process of its own.

They are forked from a program that has imported what commands import, since that takes longer than most of them. What a test
shows of the start itself (imports, encodings, a terminal, signals) needs `python -m triton_cli`.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NoReturn

_IMPORTED = (
    *("tcli_analyzer.analyze", "tcli_analyzer.output", "tcli_batch.local", "tcli_client.grpc", "tcli_client.http"),
    *("rich.console", "rich.table", "tcli_server.serving"),
)
_HEAD_BYTES = 4


def run(
    *arguments: object, cwd: Path | None = None, environment: Mapping[str, str] | None = None, timeout: float = 120
) -> "subprocess.CompletedProcess[str]":
    """Run a command with nothing on its standard input.

    Args:
        cwd: its folder; None for the tests' own.
        environment: all of its variables; None for the tests' own.
        timeout: seconds after which it is killed.

    Raises:
        subprocess.TimeoutExpired: it was.
    """
    command = ["tcli", *map(str, arguments)]
    if sys.platform != "linux":  # elsewhere there is no fork, or one that libraries for graphics do not survive
        return subprocess.run(
            [sys.executable, "-m", "triton_cli", *command[1:]],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    asked = [os.fspath(cwd or Path.cwd()), dict(os.environ if environment is None else environment), command]
    ended, told = os.pipe()
    with (
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
        os.fdopen(ended, "rb", buffering=0) as ended_pipe,
    ):
        try:
            _program().ask(asked, stdout.fileno(), stderr.fileno(), told)
        finally:
            os.close(told)
        status = _status(ended_pipe.fileno(), command, timeout)
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(command, status, *texts)


def _status(pipe: int, command: list[str], timeout: float) -> int:
    """What the program tells of a command: the number of its process, and its exit status in the end."""
    deadline = time.monotonic() + timeout
    told = b""
    while told.count(b"\n") < 2:
        if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            if told:
                os.kill(int(told), signal.SIGKILL)
            raise subprocess.TimeoutExpired(command, timeout)
        part = os.read(pipe, 64)
        assert part, "the program that forks is gone"
        told += part
    return int(told.split()[1])


class _Program:
    """The near side of what forks; it ends when this process does."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, __file__, str(number)]
            self._process = subprocess.Popen(command, pass_fds=[number], stdin=subprocess.DEVNULL)
        self._one_at_a_time = threading.Lock()

    def ask(self, asked: list[object], *descriptors: int) -> None:
        message = json.dumps(asked).encode()
        with self._one_at_a_time:
            socket.send_fds(self._ours, [len(message).to_bytes(_HEAD_BYTES)], descriptors)
            self._ours.sendall(message)


@cache
def _program() -> _Program:
    return _Program()


def _fork_for_each(channel: socket.socket) -> list[str] | None:
    """Returns in each forked process, with its command; None when there is nobody any more who asks for one."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that tell
    while True:
        head, descriptors, _, _ = socket.recv_fds(channel, _HEAD_BYTES, 3)
        if not head:
            return None
        asked = channel.recv(int.from_bytes(head), socket.MSG_WAITALL)
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            channel.close()
            stdout, stderr, told = descriptors
            if pid := os.fork():
                _tell(pid, told)
            os.close(told)
            return _begun(json.loads(asked), stdout, stderr)
        for descriptor in descriptors:
            os.close(descriptor)


def _tell(pid: int, told: int) -> None:
    with suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(told, b"%d\n" % pid)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(told, b"%d\n" % status)
    os._exit(0)


def _begun(asked: list, stdout: int, stderr: int) -> list[str]:
    """Its folder, variables and streams are those of the command from here on."""
    folder, environment, command = asked
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    return command


def _run(command: list[str]) -> NoReturn:
    """And end, as Python does, but for what libraries of the forking program do at the very end: they wait for threads of it."""
    sys.path[0] = str(Path.cwd())  # as of `python -m`
    sys.argv = command
    status = 1
    try:
        import_module("triton_cli.__main__").main()
        status = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    from triton_cli.app import COMMANDS, app

    for name in (*_IMPORTED, *(f"triton_cli.{command}" for command in COMMANDS)):
        import_module(name)
    import_module("typer.testing").CliRunner().invoke(app, ["plan", "--help"])  # typer imports more when it is called
    gc.collect()
    gc.freeze()  # what is never looked at is never copied
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        command = _fork_for_each(channel)
    if command is not None:
        _run(command)


if __name__ == "__main__":
    main()
