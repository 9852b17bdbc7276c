"""What is on a server before an analysis, and whether there may be one."""

import difflib
import threading
import time
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.measuring.visit import Stopped
from tcli_analyzer.remote.described import config_of_metadata
from tcli_analyzer.remote.errors import RemoteError
from tcli_analyzer.remote.loaded import loaded_config
from tcli_analyzer.remote.mark import Mark, mark_of
from tcli_client import AnswerError, ClientError, Transport

_GUARDIAN_SECONDS = 30.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Start:
    """What an analysis begins with.

    Attributes:
        loaded: the complete configuration of the model; None where it is not loaded.
        described: False where the server tells no configurations, and `loaded` was made from the model's metadata.
    """

    loaded: ModelConfig | None
    described: bool = True


def look(server: Transport, model: str, as_is: bool, mark: Mark, stop: threading.Event) -> Start:
    """Look at the model, and ask whether configurations may be loaded, without a change to anything.

    Args:
        as_is: they are not going to be.
        mark: of the analysis that is to begin.

    Raises:
        RemoteError: there can be no analysis.
        Stopped: `stop` was set.
    """
    try:
        start = _loaded(server, model, as_is)
        if as_is:
            if start.loaded is None:
                raise RemoteError(
                    f"'{model}' is not loaded at {server.address}",
                    _there(server, model) or "load it, or leave --as-is out",
                )
            return Start(_without_other_analysis(server, model, start.loaded, stop), start.described)
        _check_control(server, mark)
        if start.loaded is None and (there := _there(server, model)):
            raise RemoteError(f"'{model}' is not at {server.address}", there)
        return Start(_without_other_analysis(server, model, start.loaded, stop))
    except ClientError as error:
        raise RemoteError(str(error), error.fix) from None


def _loaded(server: Transport, model: str, as_is: bool) -> Start:
    try:
        return Start(loaded_config(server, model))
    except AnswerError as error:
        if not as_is:
            raise RemoteError(
                f"{server.address} does not tell the configuration of '{model}': {error}",
                "measure what it has, without changes: --as-is",
            ) from None
        return Start(config_of_metadata(server.model_metadata(model)), described=False)


def _check_control(server: Transport, mark: Mark) -> None:
    """Unload what is not there: a server that lets models be loaded says nothing to that."""
    try:
        server.unload(f"tcli_analysis_{mark.id}")
    except AnswerError as error:
        raise RemoteError(
            f"{server.address} does not let models be loaded: {error}",
            "measure what it has, without changes: --as-is; or start it with --model-control-mode=explicit",
        ) from None


def _without_other_analysis(
    server: Transport, model: str, loaded: ModelConfig | None, stop: threading.Event
) -> ModelConfig | None:
    """What is loaded once no other analysis has its configuration there: one that has just ended is waited for."""
    until = time.monotonic() + _GUARDIAN_SECONDS
    while loaded is not None and (other := mark_of(loaded)) is not None:
        if not other.has_ended or time.monotonic() > until:
            raise RemoteError(
                f"'{model}' at {server.address} is being analyzed by another process already ({other})",
                "wait for its end; if it runs no more, unload the model and load it, which gives it its own configuration",
            )
        if stop.wait(_LOOK_SECONDS):
            raise Stopped
        loaded = loaded_config(server, model)
    return loaded


def _there(server: Transport, model: str) -> str:
    """What the server has instead of a model that it does not have; empty where it has it, or does not tell."""
    try:
        names = sorted({entry.name for entry in server.index()})
    except AnswerError:
        return ""
    if model in names:
        return ""
    close = difflib.get_close_matches(model, names, 1)
    return (f"did you mean '{close[0]}'? " if close else "") + f"models there: {', '.join(names) or 'none'}"
