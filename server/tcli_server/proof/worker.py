"""The process in which one model is proved: its job is an argument, its verdict a line of JSON."""

import contextlib
import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from tcli_server.engine import Engine
from tcli_server.options import EngineOptions
from tcli_server.proof.prove import prove_batching
from tcli_server.repository import ModelFolder
from tcli_server.trial.verdict import unchecked


def main() -> None:
    """Prove what `sys.argv[2]` says, tell the verdict, and end at once.

    What frameworks print goes to the standard error; and whatever happens while they are torn down changes nothing.
    """
    answer = os.dup(1)
    os.dup2(2, 1)
    with contextlib.suppress(OSError):  # not Linux
        Path("/proc/self/oom_score_adj").write_text("1000")  # the first to go when memory runs out
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = json.loads(sys.argv[2])
    settings = job["settings"]
    folder = ModelFolder(job["name"], Path(job["path"]), job["config_name"])
    options = EngineOptions(model_control_mode="on-demand", repository_poll_secs=0, backend_config=settings)
    try:
        with Engine(*job["repositories"], options=options) as engine:  # for models that ask others
            verdict = prove_batching(
                folder, version=job["version"], seconds=job["seconds"], settings=settings, host=engine
            )
    except Exception as error:  # a mistake of ours is none of the model's
        verdict = unchecked(f"it could not be tried: {type(error).__name__}: {error}")
    os.write(answer, json.dumps(asdict(verdict)).encode())
    os.close(answer)
    sys.stderr.flush()
    os._exit(0)


def _end_with_parent() -> None:
    os.read(0, 1)
    os._exit(1)
