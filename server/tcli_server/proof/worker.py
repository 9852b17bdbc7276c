"""The process in which one model is proved: its job is an argument, its answer a text of JSON."""

import contextlib
import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tcli_server.engine import Engine
from tcli_server.options import EngineOptions
from tcli_server.proof.job import Job
from tcli_server.proof.prove import find_shapes, prove_batching
from tcli_server.trial.verdict import unchecked


def main() -> None:
    """Do what `sys.argv[2]` says, answer, and end at once.

    What frameworks print goes to the standard error; and whatever happens while they are torn down changes nothing.
    """
    answer = os.dup(1)
    os.dup2(2, 1)
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("1000")  # the first to go when memory runs out
    threading.Thread(target=_end_with_parent, daemon=True).start()
    done = json.dumps(_done(Job.of(sys.argv[2]), json.loads(sys.argv[3]))).encode()
    with open(answer, "wb") as pipe:  # noqa: PTH123
        pipe.write(done)
    sys.stderr.flush()
    os._exit(0)


def _done(job: Job, repositories: list[str]) -> dict[str, Any]:
    options = EngineOptions(
        model_control_mode="on-demand", repository_poll_secs=0, backend_config=job.settings, exit_on_error=False
    )
    try:
        with Engine(*repositories, options=options) as engine:  # for models that ask others
            if job.shapes_only:
                return {"found": find_shapes(job.folder, shapes=job.shapes, host=engine)}
            verdict = prove_batching(
                job.folder,
                version=job.version,
                config=job.config,
                shapes=job.shapes,
                sizes=job.sizes,
                seconds=job.seconds,
                settings=job.settings,
                host=engine,
            )
    except Exception as error:  # a mistake of ours is none of the model's
        verdict = unchecked(f"it could not be tried: {type(error).__name__}: {error}")
    return {"found": None} if job.shapes_only else asdict(verdict)


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)
