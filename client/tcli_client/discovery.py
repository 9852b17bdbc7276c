"""Finds models on a server: one by its name, or the image classifier to take when nobody says which."""

import difflib

from tcli_client.errors import AnswerError, NotAClassifierError, NotFoundError, UnavailableError
from tcli_client.image_model import ImageModel, image_model
from tcli_client.transport import Transport

_READY = "READY"


def served_models(server: Transport) -> list[str]:
    """The names of the models that are ready, sorted.

    Raises:
        AnswerError: the server does not have Triton's model repository extension.
    """
    # The state is looked at as well: not every server knows the `ready` filter.
    return sorted({entry.name for entry in server.index(ready=True) if entry.state in (_READY, "")})


def find_image_model(server: Transport, name: str, version: str = "") -> ImageModel:
    """What a server says about one model.

    Raises:
        NotFoundError: there is no such model or version; the fix says what there is.
        UnavailableError: the model is not ready.
        NotAClassifierError: the model is something else.
    """
    try:
        metadata = server.model_metadata(name, version)
    except (NotFoundError, UnavailableError) as problem:
        raise _explained(server, name, version, problem) from None
    try:
        config = server.model_config(name, version)
    except AnswerError:
        config = None  # a server without Triton's configuration extension: the shapes must do
    return image_model(metadata, config)


def choose_image_model(server: Transport) -> ImageModel:
    """The served model that best looks like a trained image classifier.

    Trained before placeholder, with class names before without, then by name.

    Raises:
        NotFoundError: no model is ready.
        NotAClassifierError: none of those that are ready is an image classifier; says which there are.
        AnswerError: the server does not tell which models it has.
    """
    names = served_models(server)
    if not names:
        raise NotFoundError(
            f"no model is ready at {server.address}", "NOT_FOUND", "see the server's log for the reason"
        )
    candidates = []
    for name in names:
        try:
            model = find_image_model(server, name)
        except (NotAClassifierError, AnswerError):
            continue
        if model.class_count != 1:
            candidates.append(model)
    if not candidates:
        raise NotAClassifierError(
            f"none of the models at {server.address} is an image classifier: {', '.join(names)}",
            "name a model to be told what does not fit",
        )
    return min(candidates, key=lambda model: (bool(model.placeholder), not model.labelled, model.name))


def _explained(server: Transport, name: str, version: str, problem: AnswerError) -> AnswerError:
    """The server's refusal, with what it has instead."""
    try:
        index = server.index()
    except AnswerError:
        return problem
    states = {entry.version: entry for entry in index if entry.name == name}
    ready = [entry.version for entry in states.values() if entry.state == _READY]
    if ready:
        return NotFoundError(f"model '{name}' has no version {version} that is ready", problem.status, _ready(ready))
    if states:
        reason = next((entry.reason for entry in states.values() if entry.reason), "") or "it is not loaded"
        return UnavailableError(f"model '{name}' is not ready at {server.address}: {reason}", problem.status)
    served = sorted({entry.name for entry in index if entry.state == _READY})
    close = difflib.get_close_matches(name, served, 1)
    fix = f"did you mean '{close[0]}'? " if close else ""
    fix += f"served models: {', '.join(served)}" if served else "no model is ready; see the server's log"
    return NotFoundError(f"model '{name}' is not at {server.address}", problem.status, fix)


def _ready(versions: list[str]) -> str:
    return f"ready: version {', '.join(sorted(versions, key=lambda version: (len(version), version)))}"
