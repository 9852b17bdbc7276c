"""Proves in a process of its own: a model that crashes, hangs or fills the memory takes nothing else with it."""

import contextlib
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.apart import ApartProcess
from tcli_server.models.draft import BackendConfig
from tcli_server.proof.job import Job, Shapes
from tcli_server.proof.prove import SIZES
from tcli_server.repository import ModelFolder
from tcli_server.trial import Verdict
from tcli_server.trial.verdict import unchecked

LIMIT_SECONDS = 120.0
"""So long may a model take to be loaded and tried."""

_LOOK_SECONDS = 0.1


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


def _answer(job: Job, repositories: Sequence[Path], limit: float, memory: int | None) -> dict[str, Any] | Verdict:
    """What the process answers, or a verdict that says why it does not."""
    places = [str(Path(repository).absolute()) for repository in repositories]
    try:
        with ApartProcess("tcli_server.proof.worker", [job.text(), json.dumps(places)], memory) as process:
            return _outcome(process, limit)
    except OSError as error:
        return unchecked(f"no process could be started for it: {error.strerror or error}")


def _outcome(process: ApartProcess, limit: float) -> dict[str, Any] | Verdict:
    told = bytearray()
    reader = threading.Thread(target=_read, args=(process.output, told), daemon=True)
    reader.start()
    end = time.monotonic() + limit
    while reader.is_alive():
        reader.join(_LOOK_SECONDS)
        excess = process.excess()
        if excess:
            return unchecked(excess)
        if time.monotonic() > end:
            return unchecked(f"it took longer than {limit:g} seconds")
    with contextlib.suppress(ValueError):  # it died before it had said anything, or all
        answer: dict[str, Any] = json.loads(told)
        return answer
    death = process.death()
    return Verdict("unchecked", death.reason, died=death.is_own)


def _read(pipe: IO[bytes], told: bytearray) -> None:
    with contextlib.suppress(OSError, ValueError):
        told += pipe.read()
