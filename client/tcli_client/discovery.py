"""Finds models on a server: one by its name, or the image classifier to take when nobody says which."""

import difflib
from contextlib import suppress

from tritonclient.grpc import model_config_pb2, service_pb2

from tcli_client.classifier_model import ClassifierModel
from tcli_client.errors import AnswerError, NotAClassifierError, NotFoundError, UnavailableError
from tcli_client.image_model import ImageModel, encoded_model, image_model
from tcli_client.transport import Transport

PICTURES_SUFFIX = "_pictures"
"""How `tcli repo add-pictures` calls what it puts in front of a model."""

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
    return image_model(*describe(server, name, version))


def find_encoded_model(server: Transport, name: str, version: str = "") -> ClassifierModel:
    """What a server says about a model that takes picture files as they are: of that name, or in front of that one.

    Raises:
        NotAClassifierError: neither takes picture files; the fix says how one does.
        NotFoundError, UnavailableError: as `find_image_model`.
    """
    try:
        return encoded_model(*describe(server, name, version))
    except NotAClassifierError:
        ahead = name + PICTURES_SUFFIX
        if ahead not in served_models(server):
            raise
        return encoded_model(*describe(server, ahead, ""))


def choose_encoded_model(server: Transport) -> ClassifierModel:
    """The served model that `tcli repo add-pictures` put in front of a trained classifier; by name, if there are several.

    Raises:
        NotAClassifierError: there is none; the fix says how there is one.
        AnswerError: the server does not tell which models it has.
    """
    names = [name for name in served_models(server) if name.endswith(PICTURES_SUFFIX)]
    candidates = []
    for name in names:
        with suppress(NotAClassifierError, AnswerError):
            candidates.append(encoded_model(*describe(server, name, "")))
    if not candidates:
        raise NotAClassifierError(
            f"none of the models at {server.address} takes picture files as they are",
            "put what decodes them before a classifier: tcli repo add-pictures MODEL; or name a model with --model",
        )
    return min(candidates, key=lambda model: (bool(model.placeholder), model.name))


def describe(
    server: Transport, name: str, version: str
) -> tuple[service_pb2.ModelMetadataResponse, model_config_pb2.ModelConfig | None]:
    """What a server says about a model; without a configuration where it lacks Triton's extension for that.

    Raises:
        NotFoundError, UnavailableError: as `find_image_model`.
    """
    try:
        metadata = server.model_metadata(name, version)
    except (NotFoundError, UnavailableError) as problem:
        raise _explained(server, name, version, problem) from None
    try:
        return metadata, server.model_config(name, version)
    except AnswerError:
        return metadata, None  # a server without Triton's configuration extension: the shapes must do


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
