"""What the protocols tell of models, as the V2 protocol's own messages."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from tritonclient.grpc import service_pb2

from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.models.model import Model
from tcli_server.models.registry import State, parse_version
from tcli_server.observability.statistics import InferenceStatistics


def metadata(model: Model, versions: Sequence[Model]) -> service_pb2.ModelMetadataResponse:
    """Inputs and outputs as clients see them: batch dimension as -1, without `reshape`.

    Args:
        versions: those to list.
    """
    message = service_pb2.ModelMetadataResponse(
        name=model.name,
        versions=[str(version.version) for version in versions],
        platform=model.config.platform or model.config.backend,
    )
    spec = model.spec
    for item in spec.inputs.values():
        message.inputs.add(name=item.name, datatype=item.datatype.name, shape=spec.full_dims(item))
    for item in spec.outputs.values():
        message.outputs.add(name=item.name, datatype=item.datatype.name, shape=spec.full_dims(item))
    return message


class Counted(Protocol):
    """A model version with counters, loaded or not."""

    @property
    def name(self) -> str: ...

    @property
    def identifier(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def statistics(self) -> InferenceStatistics: ...


def statistics(models: Sequence[Counted], name: str = "", version: str = "") -> service_pb2.ModelStatisticsResponse:
    """Statistics of one model (all its versions unless one is named) or of all.

    Args:
        name: its identifier, empty for all.

    Raises:
        InvalidArgumentError: the model or version is not among them, or the version is not a number.
    """
    chosen = list(models)
    if name:
        parse_version(version)
        known = [model for model in models if model.identifier == name]
        if not known:
            raise InvalidArgumentError(f"requested model '{name}' is not available")
        chosen = [model for model in known if version in ("", str(model.version))]
        if not chosen:
            raise InvalidArgumentError(f"requested model version is not available for model '{name}'")
    return service_pb2.ModelStatisticsResponse(
        model_stats=[model.statistics.to_message(model.name, str(model.version)) for model in chosen]
    )


def index(rows: Iterable[tuple[str, str, str, str]], ready: bool = False) -> service_pb2.RepositoryIndexResponse:
    """The repository index of rows of name, version, state and reason.

    Args:
        ready: only what is READY.
    """
    message = service_pb2.RepositoryIndexResponse()
    for name, version, state, reason in rows:
        if not ready or state == State.READY:
            message.models.add(name=name, version=version, state=state, reason=reason)
    return message


def defect(error: Exception) -> InternalError:
    """What a client is told of a mistake of ours; the log has the traceback."""
    return InternalError(f"{type(error).__name__}: {error}")
