"""Whether a configuration says the same as the model file."""

import difflib
from collections.abc import Collection, Iterable

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from tcli_server.datatypes import BY_CONFIG_TYPE, BY_NAME
from tcli_server.repository.layout import ModelFolder
from tcli_server.repository.pbtxt import quoted
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.ragged_tensors import check_ragged_tensors, flat_tensors
from tcli_server.repository.report import Report
from tcli_server.repository.sequence_rules import fed_by_the_server
from tcli_server.repository.sequence_tensors import check_sequence_tensors
from tcli_server.signature import ModelSignature, TensorSignature


def signature_problems(
    config: ModelConfig, signature: ModelSignature, folder: ModelFolder, positions: Positions | None = None
) -> list[Problem]:
    """Everything in which a complete configuration and a model file contradict each other.

    As Triton's ONNX Runtime backend: names must exist, types be equal, every input of the file be listed; a fixed
    dimension of the file must be listed as it is, one that varies may be listed as fixed for an input and must be -1
    for an output; `reshape` replaces `dims`.
    """
    report = Report(folder.config_path, positions)
    takes = {tensor.name: tensor for tensor in (*signature.inputs, *signature.overridable)}
    gives = {tensor.name: tensor for tensor in signature.outputs}
    flat = flat_tensors(config)
    judge_dims = config.max_batch_size >= 0 and not report.doubts("max_batch_size")
    if judge_dims and config.max_batch_size > 0:
        listed = [
            tensors[io.name]
            for ios, tensors in _sides(config, takes, gives)
            for io in ios
            if io.name in tensors and io.name not in flat
        ]
        fixed = next((tensor for tensor in listed if tensor.rank_known and not tensor.batchable), None)
        if fixed is not None:
            _no_batch_dimension(fixed, config.max_batch_size, report)
            judge_dims = False
        most = signature.most_batch
        if most is not None and config.max_batch_size > most:
            expected = f"at most {most}, the largest batch that the model file takes"
            report.add("max_batch_size", f"{config.max_batch_size}", expected, f"write max_batch_size: {most}")
    max_batch_size = config.max_batch_size if judge_dims else None
    meant = _compare("input", config.input, takes, flat, max_batch_size, report)
    _compare("output", config.output, gives, flat, max_batch_size, report)
    known = {tensor.name for tensor in config.input} | meant | set(fed_by_the_server(config))
    check_sequence_tensors(config, takes, gives, report)
    check_ragged_tensors(config, takes, report)
    needed = {tensor.name for tensor in signature.inputs}
    for index, io in enumerate(config.input):
        if io.optional and io.name in takes:
            _optional(f"input[{index}].optional", takes[io.name], io.name in needed, max_batch_size or 0, report)
    for tensor in signature.inputs:
        if config.input and tensor.name not in known:
            _missing_input(tensor, signature, max_batch_size, report)
    return report.problems


def _sides(
    config: ModelConfig, takes: dict[str, TensorSignature], gives: dict[str, TensorSignature]
) -> "tuple[tuple[Iterable[ModelInput | ModelOutput], dict[str, TensorSignature]], ...]":
    return (config.input, takes), (config.output, gives)


def _optional(field: str, tensor: TensorSignature, needed: bool, max_batch_size: int, report: Report) -> None:
    expected = ""
    if needed:
        expected = f"false, as the model file has no value of its own for '{tensor.name}'"
    elif max_batch_size > 0 and tensor.default and tensor.default[0] != 1:
        shape = _dims_text(tensor.default)
        expected = f"false, as the model file's own value for '{tensor.name}' is not one that fits any batch: {shape}"
    if expected:
        report.add(field, "true", expected, "remove optional", edits=report.removing(field))


def _missing_input(
    tensor: TensorSignature, signature: ModelSignature, max_batch_size: int | None, report: Report
) -> None:
    if not tensor.datatype:
        expected = f"every input of the model file: {_names(signature.inputs)}"
        report.add(
            "input", f"no input '{tensor.name}'", expected, f"add an input '{tensor.name}' as the model takes it"
        )
        return
    datatype = _config_type(tensor)
    dims = _listed_dims(tensor, max_batch_size or 0)
    lines = f"input {{ name: {quoted(tensor.name)} data_type: {datatype} dims: {dims} }}"
    if max_batch_size and tensor.rank_known and not tensor.shape[1:]:
        lines = f"{lines[:-1]}reshape {{ shape: [ ] }} }}"
    is_known = tensor.datatype in BY_NAME and max_batch_size is not None and tensor.rank_known
    report.add(
        "input",
        f"no input '{tensor.name}'",
        f"every input of the model file: {_names(signature.inputs)}",
        f"add an input '{tensor.name}' with data_type {datatype} and dims {dims}",
        edits=report.adding("", lines) if is_known else (),
    )


def _compare(
    kind: str,
    listed: Iterable[ModelInput] | Iterable[ModelOutput],
    tensors: dict[str, TensorSignature],
    flat: Collection[str],
    max_batch_size: int | None,
    report: Report,
) -> set[str]:
    """Compare inputs or outputs, their dims too unless they are flat in the model file or `max_batch_size` is None.

    Answers the names that were misspelt.
    """
    meant: set[str] = set()
    for index, io in enumerate(listed):
        path = f"{kind}[{index}]"
        tensor = tensors.get(io.name)
        if tensor is None:
            close = difflib.get_close_matches(io.name, tensors, 1, 0.5)
            name = close[0] if close else next(iter(tensors)) if len(tensors) == 1 else ""
            meant.add(name)
            report.add(
                f"{path}.name",
                f"'{io.name}'",
                f"an {kind} of the model file: {_names(tensors.values())}",
                f'write name: "{name}"' if name else "use one of these names" if tensors else "remove it",
                edits=report.writing(f"{path}.name", quoted(name)) if name else (),
            )
            continue
        if tensor.datatype and io.data_type in BY_CONFIG_TYPE and BY_CONFIG_TYPE[io.data_type].name != tensor.datatype:
            right = _config_type(tensor)
            report.add(
                f"{path}.data_type",
                f"TYPE_{_short(io.data_type)} for '{io.name}'",
                f"{right}, as in the model file",
                f"write data_type: {right}",
                edits=report.writing(f"{path}.data_type", right) if tensor.datatype in BY_NAME else (),
            )
        if max_batch_size is not None and io.name not in flat and (io.dims or io.HasField("reshape")):
            if tensor.rank_known:
                _compare_dims(path, kind, io, tensor, max_batch_size, report)
            else:
                _unknown_rank(path, io, tensor, report)
    return meant


def _unknown_rank(path: str, io: ModelInput | ModelOutput, tensor: TensorSignature, report: Report) -> None:
    """As Triton, which sees no dimension there and takes it for a scalar."""
    if any(dim != 1 for dim in io.dims) and tensor.datatype in BY_NAME:
        report.add(
            f"{path}.dims",
            f"{list(io.dims)} for '{tensor.name}'",
            "[ 1 ], as the model file does not say how many dimensions it has",
            "export the model with shapes",
        )


def _compare_dims(
    path: str, kind: str, io: ModelInput | ModelOutput, tensor: TensorSignature, max_batch_size: int, report: Report
) -> None:
    reshaped = io.HasField("reshape")
    field = f"{path}.reshape.shape" if reshaped else f"{path}.dims"
    dims = tuple(io.reshape.shape if reshaped else io.dims)
    if any(dim < 1 and dim != -1 for dim in (*io.dims, *dims)):
        return  # told as what it is: no dimension
    found = f"{list(dims)} for '{io.name}'"
    if not tensor.shape:
        if any(dim != 1 for dim in dims):
            fix, edits = "write dims: [ 1 ]", report.writing(f"{path}.dims", "[ 1 ]")
            report.add(field, found, "[ 1 ], as the model file has a scalar here", fix, edits=edits)
        return
    expected = tensor.shape[1:] if max_batch_size > 0 else tensor.shape
    if _fits(dims, expected, exact=kind == "output"):
        return
    right = _dims_text(_merged(dims, expected, kind))
    file_shape = f"the model file has shape {_dims_text(tensor.shape)}"
    short = field.rsplit(".", 1)[1]
    if not expected:
        _no_dimension(path, io, found, file_shape, report)
    elif max_batch_size > 0 and len(dims) == len(tensor.shape) and _fits(dims[1:], expected, exact=False):
        right = _dims_text(_merged(dims[1:], expected, kind))
        report.add(
            field,
            f"{found} with max_batch_size: {max_batch_size}, so the batch dimension is there twice",
            f"{right}: with max_batch_size > 0 the batch dimension is not listed ({file_shape})",
            f"leave out the first dimension: {short}: {right}",
            edits=report.writing(field, right),
        )
    elif max_batch_size == 0 and tensor.batchable and _fits(dims, tensor.shape[1:], exact=False):
        whole = _dims_text((-1, *_merged(dims, tensor.shape[1:], kind)))
        report.add(
            field,
            f"{found} without the batch dimension although max_batch_size is 0",
            f"all dimensions: {_dims_text(tensor.shape)} ({file_shape})",
            f"set max_batch_size to 1 or more, or list the batch dimension too: {short}: {whole}",
            edits=report.writing(field, whole),
        )
    elif max_batch_size == 0 and not reshaped and _count(dims) == _count(expected) != -1:
        report.add(
            field,
            found,
            f"{_dims_text(expected)} ({file_shape})",
            f"add reshape {{ shape: {_dims_text(expected)} }} to '{io.name}' to keep these dims for clients, "
            f"or write dims: {_dims_text(expected)}",
            edits=report.writing(field, _dims_text(expected)),
        )
    else:
        batch = " after the batch dimension" if max_batch_size > 0 else ""
        expected_text = f"{_dims_text(expected)}{batch} ({file_shape})"
        report.add(field, found, expected_text, f"write {short}: {right}", edits=report.writing(field, right))


def _no_dimension(path: str, io: ModelInput | ModelOutput, found: str, file_shape: str, report: Report) -> None:
    """A tensor with nothing but its batch dimension, which is listed as `dims: [ 1 ]` with an empty reshape."""
    edits = report.writing(f"{path}.dims", "[ 1 ]")
    if io.HasField("reshape"):
        edits += report.writing(f"{path}.reshape", "{ shape: [ ] }")
    else:
        edits += report.adding(path, "reshape { shape: [ ] }")
    report.add(
        f"{path}.reshape.shape" if io.HasField("reshape") else f"{path}.dims",
        found,
        f"no dimension after the batch dimension ({file_shape})",
        "write dims: [ 1 ] and reshape { shape: [ ] }",
        edits=edits,
    )


def _no_batch_dimension(tensor: TensorSignature, max_batch_size: int, report: Report) -> None:
    report.add(
        "max_batch_size",
        f"{max_batch_size}, although the model file cannot batch: '{tensor.name}' has shape {_dims_text(tensor.shape)}",
        "0, or a model file whose inputs and outputs all have a first dimension that varies",
        f"write max_batch_size: 0 and list all dimensions ('{tensor.name}': dims: {_dims_text(tensor.shape or (1,))}), "
        "or export the model with a dynamic batch dimension",
    )


def _fits(dims: tuple[int, ...], expected: tuple[int, ...], exact: bool) -> bool:
    if len(dims) != len(expected):
        return False
    return all(dim == want or (want == -1 and not exact) for dim, want in zip(dims, expected, strict=True))


def _merged(dims: tuple[int, ...], expected: tuple[int, ...], kind: str) -> tuple[int, ...]:
    """The right dims that are nearest to what the user wrote: an input may fix what the model file leaves open."""
    if kind == "output" or len(dims) != len(expected):
        return expected
    return tuple(dim if want == -1 else want for dim, want in zip(dims, expected, strict=True))


def _count(dims: tuple[int, ...]) -> int:
    product = 1
    for dim in dims:
        if dim < 0:
            return -1
        product *= dim
    return product


def _listed_dims(tensor: TensorSignature, max_batch_size: int) -> str:
    return _dims_text((tensor.shape[1:] if max_batch_size > 0 else tensor.shape) or (1,))


def _dims_text(dims: tuple[int, ...]) -> str:
    return f"[ {', '.join(map(str, dims))} ]" if dims else "[ ]"


def _names(tensors: Iterable[TensorSignature]) -> str:
    return ", ".join(f"'{tensor.name}'" for tensor in tensors) or "none"


def _config_type(tensor: TensorSignature) -> str:
    if tensor.datatype not in BY_NAME:
        return f"{tensor.datatype} (which Triton has no type for)"
    return f"TYPE_{_short(BY_NAME[tensor.datatype].config_type)}"


def _short(config_type: int) -> str:
    name = BY_CONFIG_TYPE[config_type].name
    return "STRING" if name == "BYTES" else name
