"""Whether the model file has the inputs and outputs of ragged batches, and whether they are as the server makes them."""

import difflib
from collections.abc import Mapping
from math import prod

from tritonclient.grpc.model_config_pb2 import BatchInput, ModelConfig, ModelInput

from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.repository.pbtxt import quoted
from tcli_server.repository.ragged_rules import check_ragged
from tcli_server.repository.report import Report
from tcli_server.signature import TensorSignature


def flat_tensors(config: ModelConfig) -> set[str]:
    """The inputs and outputs whose dims are not those of the model file: it has all elements of a batch in a row."""
    ragged = {tensor.name for tensor in config.input if tensor.allow_ragged_batch}
    return ragged | {name for item in config.batch_output for name in item.target_name}


def check_ragged_tensors(config: ModelConfig, takes: Mapping[str, TensorSignature], report: Report) -> None:
    """Report ragged inputs that are not flat in the model file, and batch inputs that it does not take as they are made.

    Args:
        config: complete.
        takes: the model file's inputs.
    """
    check_ragged(config, report)  # what could not be judged before it was complete
    for index, tensor in enumerate(config.input):
        if tensor.allow_ragged_batch and tensor.optional:
            field = f"input[{index}].optional"
            expected = "false, as an input with allow_ragged_batch is in every request"
            report.add(field, "true", expected, "remove optional", edits=report.removing(field))
        given = takes.get(tensor.name)
        if tensor.allow_ragged_batch and given is not None and given.shape != (-1,):
            field = f"input[{index}].allow_ragged_batch"
            report.add(
                field,
                f"true for '{tensor.name}', which has {_shape(given)} in the model file",
                "shape [ -1 ] in the model file: the requests of a batch are joined flat, one behind the other",
                "export the model with such an input, or remove allow_ragged_batch",
                edits=report.removing(field),
            )
    inputs = {tensor.name: tensor for tensor in config.input}
    for index, item in enumerate(config.batch_input):
        source = inputs.get(item.source_input[0]) if len(item.source_input) == 1 else None
        for at, name in enumerate(item.target_name):
            path = f"batch_input[{index}]"
            if name in takes:
                _compare(path, item, takes[name], source, config, report)
            elif name:
                _unknown(f"{path}.target_name[{at}]", name, takes, report)


def _compare(
    path: str, item: BatchInput, tensor: TensorSignature, source: ModelInput | None, config: ModelConfig, report: Report
) -> None:
    datatype = BY_CONFIG_TYPE.get(item.data_type)
    if datatype is not None and tensor.datatype not in ("", datatype.name) and datatype.name in ("INT32", "FP32"):
        right = f"TYPE_{tensor.datatype}" if tensor.datatype in ("INT32", "FP32") else ""
        report.add(
            f"{path}.data_type",
            f"TYPE_{datatype.name} for '{tensor.name}'",
            f"{tensor.datatype}, as in the model file",
            f"write data_type: {right}"
            if right
            else "export the model with an INT32 input: there is no other batch_input",
            edits=report.writing(f"{path}.data_type", right) if right else (),
        )
    if source is None or not source.dims or item.kind not in BatchInput.Kind.values():
        return
    made = _made_shape(item.kind, source, config)
    fits = len(tensor.shape) == len(made) and all(
        dim in (-1, size) for dim, size in zip(tensor.shape, made, strict=True)
    )
    if not fits:
        kind = BatchInput.Kind.Name(item.kind)
        report.add(
            f"{path}.kind",
            f"{kind} for '{tensor.name}', which has {_shape(tensor)} in the model file",
            f"shape {_dims(made)} in the model file",
            "export the model with such an input, or use the kind that it is made for",
        )


def _made_shape(kind: int, source: ModelInput, config: ModelConfig) -> tuple[int, ...]:
    """The shape of a batch input; -1 where it depends on the batch."""
    dims = tuple(source.reshape.shape if source.HasField("reshape") else source.dims)
    one_item = config.max_batch_size <= 1
    one_request = one_item or not (config.HasField("dynamic_batching") or config.HasField("sequence_batching"))
    if kind == BatchInput.BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO:
        return (2 if one_request else -1,)
    if kind == BatchInput.BATCH_MAX_ELEMENT_COUNT_AS_SHAPE:
        return (prod(dims) if one_item and -1 not in dims else -1,)
    if kind == BatchInput.BATCH_ITEM_SHAPE:
        return (1 if one_item else -1, len(dims))
    if kind == BatchInput.BATCH_ITEM_SHAPE_FLATTEN:
        return (len(dims) if one_item else -1,)
    return (1 if one_request else -1,)


def _unknown(field: str, name: str, takes: Mapping[str, TensorSignature], report: Report) -> None:
    close = difflib.get_close_matches(name, takes, 1, 0.5)
    known = ", ".join(f"'{other}'" for other in takes) or "none"
    report.add(
        field,
        f"'{name}'",
        f"an input of the model file: {known}",
        f'write "{close[0]}"' if close else "use one of these names",
        edits=report.writing(field, quoted(close[0])) if close else (),
    )


def _shape(tensor: TensorSignature) -> str:
    return f"shape {_dims(tensor.shape)}" if tensor.rank_known else "no known number of dimensions"


def _dims(dims: tuple[int, ...]) -> str:
    return f"[ {', '.join(map(str, dims))} ]" if dims else "[ ]"
