"""Proves in a process of its own: a model that crashes, hangs or fills the memory takes nothing else with it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import psutil
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.hardware.memory import usable_memory
from tcli_server.models.draft import BackendConfig
from tcli_server.proof.job import Job, Shapes
from tcli_server.proof.prove import SIZES
from tcli_server.repository import ModelFolder
from tcli_server.trial import Verdict
from tcli_server.trial.verdict import unchecked

LIMIT_SECONDS = 120.0
"""So long may a model take to be loaded and tried."""

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from tcli_server.proof.worker import main; main()"
_LOOK_SECONDS = 0.1
_END_SECONDS = 5.0
_MEMORY_SHARE = 0.9
_LAST_WORDS = 600


def prove_apart(
    folder: ModelFolder,
    *,
    version: int | None = None,
    config: ModelConfig | None = None,
    shapes: Shapes | None = None,
    sizes: Sequence[int] = SIZES,
    repositories: Sequence[Path] = (),
    settings: BackendConfig | None = None,
    limit: float = LIMIT_SECONDS,
    memory: int | None = None,
) -> Verdict:
    """As `prove_batching`, in a process of its own.

    Args:
        repositories: where the models are that this one may ask; its own by default.
        limit: seconds, loading included; then it is ended.
        memory: bytes that it may hold; None for nearly all that are free.

    Returns:
        `unchecked` where the process does not come to an end by itself, with the reason.
    """
    job = Job(folder, version, config, dict(shapes or {}), tuple(sizes), limit / 2, settings or {})
    answer = _answer(job, repositories or [folder.path.parent], limit, memory)
    if isinstance(answer, Verdict):
        return answer
    answer["sizes"] = tuple(answer["sizes"])
    answer["shapes"] = tuple((name, tuple(shape)) for name, shape in answer["shapes"])
    return Verdict(**answer)


def find_shapes_apart(
    folder: ModelFolder, *, shapes: Shapes | None = None, limit: float = LIMIT_SECONDS
) -> dict[str, tuple[int, ...]] | None:
    """As `find_shapes`, in a process of its own; None as well where that does not come to an end by itself."""
    job = Job(folder, None, None, dict(shapes or {}), (), limit, {}, shapes_only=True)
    answer = _answer(job, [folder.path.parent], limit, None)
    if isinstance(answer, Verdict) or answer["found"] is None:
        return None
    return {name: tuple(shape) for name, shape in answer["found"].items()}


def _answer(job: Job, repositories: Sequence[Path], limit: float, memory: int | None) -> dict[str, Any] | Verdict:
    """What the process answers, or a verdict that says why it does not."""
    path = [entry or str(Path.cwd()) for entry in sys.path]
    places = [str(Path(repository).absolute()) for repository in repositories]
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(path), job.text(), json.dumps(places)],
                stdin=subprocess.PIPE,  # it ends with this process, which need not say so
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,  # Ctrl-C is for this process
            )
        except OSError as error:
            return unchecked(f"no process could be started for it: {error.strerror or error}")
        try:
            return _outcome(process, said, limit, memory or int(_MEMORY_SHARE * _free_memory()))
        finally:
            _end(process)


def _outcome(
    process: "subprocess.Popen[bytes]", said: IO[bytes], limit: float, memory: int
) -> dict[str, Any] | Verdict:
    assert process.stdout is not None
    told = bytearray()
    reader = threading.Thread(target=_read, args=(process.stdout, told), daemon=True)
    reader.start()
    end = time.monotonic() + limit
    while reader.is_alive():
        reader.join(_LOOK_SECONDS)
        held = _held_memory(process.pid)
        if held > memory:
            return unchecked(f"it needed more memory than there is for it: {memory / 2**20:,.0f} MiB")
        if time.monotonic() > end:
            return unchecked(f"it took longer than {limit:g} seconds")
    with contextlib.suppress(ValueError):  # it died before it had said anything, or all
        answer: dict[str, Any] = json.loads(told)
        return answer
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    return _death(process.returncode, said)


def _read(pipe: IO[bytes], told: bytearray) -> None:
    with contextlib.suppress(OSError, ValueError):
        told += pipe.read()


def _death(status: int | None, said: IO[bytes]) -> Verdict:
    """Why there is no verdict."""
    if status is not None and -status == getattr(signal, "SIGKILL", 9):
        return unchecked("the process that ran it was killed (SIGKILL), as the system does when memory runs out")
    if status is not None and status < 0:
        with contextlib.suppress(ValueError):
            how = f"was ended by {signal.Signals(-status).name}"
            return _fault(how, said)
    return _fault(f"ended with exit status {status}", said)


def _fault(how: str, said: IO[bytes]) -> Verdict:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - _LAST_WORDS))
    words = " ".join(said.read().decode(errors="replace").split())
    text = f"the process that ran it {how}, as a server's would" + (f"; its last words: {words}" if words else "")
    return Verdict("unchecked", text, died=True)


def _held_memory(pid: int) -> int:
    """Bytes that a process and those which it started hold."""
    held = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                held += int(one.memory_info().rss)
    return held


def _free_memory() -> int:
    return int(min(psutil.virtual_memory().available, usable_memory()))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process, and what it started in its session."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    if process.poll() is None:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
