"""What a model takes and gives for one row."""

from dataclasses import dataclass
from typing import Literal

from tritonclient.grpc import model_config_pb2, service_pb2

from tcli_batch.errors import DataError
from tcli_client.discovery import describe
from tcli_client.tensors import DTYPES
from tcli_client.transport import Transport


@dataclass(frozen=True)
class Tensor:
    """An input or an output.

    Attributes:
        datatype: V2's name.
        dims: of one row, without a batch dimension; -1 where any length is taken.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]
    optional: bool = False

    def __str__(self) -> str:
        return f"'{self.name}' ({self.datatype} {list(self.dims)})"


@dataclass(frozen=True)
class Signature:
    """A model, as a batch job sees it.

    Attributes:
        version: of those that are ready, the one that is asked.
        max_rows: most rows in a request.
        batched: whether a request has a batch dimension. One that has none is a row.
        labelled: outputs of which the server names the classes.
    """

    model: str
    version: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_rows: int
    batched: bool
    labelled: tuple[str, ...] = ()

    @property
    def required(self) -> tuple[Tensor, ...]:
        """Inputs that every row must have."""
        return tuple(tensor for tensor in self.inputs if not tensor.optional)

    def input(self, name: str) -> Tensor | None:
        """The input of that name."""
        return next((tensor for tensor in self.inputs if tensor.name == name), None)


def read_signature(server: Transport, model: str, version: str = "") -> Signature:
    """Ask a server what a model takes.

    Raises:
        DataError: the model cannot answer rows that know nothing of each other.
        NotFoundError, UnavailableError: as `find_image_model`.
    """
    metadata, config = describe(server, model, version)
    _check(model, config)
    max_rows = config.max_batch_size if config else 0
    optional = {tensor.name for tensor in config.input if tensor.optional} if config else set()
    labelled = tuple(tensor.name for tensor in config.output if tensor.label_filename) if config else ()
    return Signature(
        model,
        version or max(metadata.versions, key=lambda number: (len(number), number), default=""),
        tuple(_tensor(tensor, max_rows > 0, tensor.name in optional) for tensor in metadata.inputs),
        tuple(_tensor(tensor, max_rows > 0, False) for tensor in metadata.outputs),
        max(1, max_rows),
        max_rows > 0,
        labelled,
    )


def _check(model: str, config: model_config_pb2.ModelConfig | None) -> None:
    if config is None:
        return
    kind: Literal["stateful", "decoupled", ""] = ""
    if config.HasField("sequence_batching"):
        kind = "stateful"
    elif config.model_transaction_policy.decoupled:
        kind = "decoupled"
    if kind:
        why = (
            "its requests belong to sequences" if kind == "stateful" else "it gives any number of answers to a request"
        )
        raise DataError(f"model '{model}' is {kind}: {why}, so that it cannot be asked row by row")


def _tensor(tensor: service_pb2.ModelMetadataResponse.TensorMetadata, batched: bool, optional: bool) -> Tensor:
    if tensor.datatype not in DTYPES:
        raise DataError(f"tensor '{tensor.name}' is of type {tensor.datatype}, which is not known here")
    return Tensor(tensor.name, tensor.datatype, tuple(tensor.shape)[1 if batched else 0 :], optional)
