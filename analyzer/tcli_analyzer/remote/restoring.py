"""Puts back what was loaded on a server before an analysis."""

import time
from dataclasses import dataclass

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.remote.loaded import UNLOADED, as_json, loaded_config, reason_of
from tcli_analyzer.remote.loading import load
from tcli_analyzer.remote.mark import Mark, mark_of
from tcli_client import AnswerError, Transport, UnavailableError

_UNLOAD_SECONDS = 60.0
_LOOK_SECONDS = 0.05


class NotRestoredError(Exception):
    """What was loaded before could not be put back; the message says what is there instead."""


@dataclass(slots=True)
class Changes:
    """What an analysis has done to a model, as far as it is known.

    Attributes:
        original: the complete configuration of what was loaded before; None where nothing was.
        mark: of the configurations that the analysis loaded.
        uncertain: a load was asked for and its end was not seen: the server may be at it still.
        died: the server ended meanwhile, so that what it has may be neither the original nor anybody's wish.
    """

    original: ModelConfig | None
    mark: Mark
    uncertain: bool = False
    died: bool = False


def restore(server: Transport, model: str, changes: Changes) -> str:
    """Put back what was loaded before, unless somebody else has loaded or unloaded the model meanwhile.

    An override stays in force through loads without one. So what was loaded from its folder is unloaded and loaded, and
    requests of others are refused meanwhile; what was an override itself, and so is not what its folder gives, is given again.

    Returns:
        What was done, for people.

    Raises:
        NotRestoredError: the server does not take it.
        ClientError: the server does not answer, or cannot be asked this now: worth another try.
    """
    original = changes.original
    now = loaded_config(server, model)
    ours = now is not None and mark_of(now) == changes.mark
    if original is None:
        if not ours and not changes.uncertain:
            return "it is not what the analysis loaded any more, and was left as it is" if now else "it is not loaded"
        server.unload(model)  # after whatever the server is at
        return "it was unloaded, as before"
    if now == original and not changes.uncertain:
        return "it has the configuration that it had"
    if not ours and not (changes.uncertain or changes.died):
        if now is not None:
            return "somebody else has loaded it meanwhile, and it was left as it is"
        if reason_of(server, model) == UNLOADED:
            return "somebody else has unloaded it meanwhile, and it was left so"
    changes.uncertain = True  # another try, if this one is cut off, finds what nobody else has done
    return _put_back(server, model, original, changes.mark)


def _put_back(server: Transport, model: str, original: ModelConfig, mark: Mark) -> str:
    problem = _load(server, model)  # after whatever the server is at
    now = loaded_config(server, model)
    if now is not None and mark_of(now) == mark:
        server.unload(model)
        _await_unloaded(server, model)
        problem = _load(server, model)
        now = loaded_config(server, model)
    if now == original:
        return "it has its own configuration again"
    # its folder gives something else, or nothing: what was loaded came by the load API
    problem = _load(server, model, as_json(original)) or problem
    now = loaded_config(server, model)
    if now == original:
        return "it has the configuration again that it had, by the load API: its folder gives another one"
    what = f"it is loaded with: {as_json(now)}" if now is not None else "it is not loaded"
    raise NotRestoredError(f"{what}{f'; the server says: {problem}' if problem else ''}")


def _load(server: Transport, model: str, config: str = "") -> str:
    """Load it; gives the server's reason where it cannot."""
    try:
        load(server.address, model, config)
    except UnavailableError:
        raise
    except AnswerError as error:
        return str(error)
    return ""


def _await_unloaded(server: Transport, model: str) -> None:
    """An unload returns before requests that are under way are answered."""
    until = time.monotonic() + _UNLOAD_SECONDS
    while server.model_ready(model) and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
