"""The process in which one job of the guard is done."""

import os
import sys
from collections.abc import Callable

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.guard.answering import answer_items
from tcli_analyzer.guard.jobs import Answer, AskOriginal, Doing, Failed, Job, Place
from tcli_analyzer.guard.variant_check import check_variant
from tcli_analyzer.variant.messages import receive, send
from tcli_server.apart import begin_apart, end_with_parent
from tcli_server.engine import Engine
from tcli_server.errors import ServerError
from tcli_server.options import EngineOptions
from tcli_server.proof.opening import opened_model
from tcli_server.repository import ModelFolder
from tcli_server.trial import Verdict


def main() -> None:
    """Do the job that comes on the standard input, answer, and end at once.

    Whatever happens while frameworks are torn down changes nothing.
    """
    answers = begin_apart()
    job: Job = receive(sys.stdin.buffer)
    end_with_parent()

    def tell(what: str) -> None:
        send(answers, Doing(what))

    try:
        answer = _done(job, tell)
    except ServerError as error:
        answer = Failed(f"it does not load: {error}")
    except Exception as error:  # a mistake of ours is none of the model's
        answer = Failed(f"it could not be compared: {type(error).__name__}: {error}")
    send(answers, answer)
    sys.stderr.flush()
    os._exit(0)


def _done(job: Job, tell: Callable[[str], None]) -> Answer:
    options = EngineOptions(model_control_mode="on-demand", repository_poll_secs=0, exit_on_error=False)
    tell("loading the model")
    folder, config = _model(job.place)
    with (
        Engine(folder.path.parent, options=options) as engine,  # for models that ask others
        opened_model(folder, None, config, None, engine) as opened,
    ):
        if isinstance(opened, Verdict):
            return Failed(opened.reason)
        return answer_items(opened, job, tell) if isinstance(job, AskOriginal) else check_variant(opened, job, tell)


def _model(place: Place) -> tuple[ModelFolder, ModelConfig | None]:
    config = None if place.config is None else ModelConfig.FromString(place.config)
    return ModelFolder(place.name, place.folder), config
