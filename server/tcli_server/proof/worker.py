"""The process in which one model is proved: its job is an argument, its answer a text of JSON."""

import json
import os
import sys
from dataclasses import asdict
from typing import Any

from tcli_server.apart import begin_apart, end_with_parent
from tcli_server.engine import Engine
from tcli_server.options import EngineOptions
from tcli_server.proof.job import Job
from tcli_server.proof.prove import prove_batching
from tcli_server.trial.verdict import unchecked


def main() -> None:
    """Do what `sys.argv[2]` says, answer, and end at once.

    Whatever happens while frameworks are torn down changes nothing.
    """
    answers = begin_apart()
    end_with_parent()
    done = json.dumps(_done(Job.of(sys.argv[2]), json.loads(sys.argv[3]))).encode()
    answers.write(done)
    answers.close()
    sys.stderr.flush()
    os._exit(0)


def _done(job: Job, repositories: list[str]) -> dict[str, Any]:
    options = EngineOptions(
        model_control_mode="on-demand", repository_poll_secs=0, backend_config=job.settings, exit_on_error=False
    )
    try:
        with Engine(*repositories, options=options) as engine:  # for models that ask others
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
    return asdict(verdict)
