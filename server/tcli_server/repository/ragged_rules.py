"""The rules of ragged inputs, of what is made of a whole batch, and of what is divided among its requests.

Source: `ValidateBatchIO` in Triton's core, and what its ONNX Runtime backend needs at run time without asking for it.
"""

import difflib
from collections.abc import Iterable, Sequence

from tritonclient.grpc.model_config_pb2 import BatchInput, BatchOutput, ModelConfig, ModelInput, ModelOutput

from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.repository.pbtxt import quoted
from tcli_server.repository.report import Report

_DATATYPES = ("INT32", "FP32")
_ITEM_SHAPES = (BatchInput.BATCH_ITEM_SHAPE, BatchInput.BATCH_ITEM_SHAPE_FLATTEN)


def check_ragged(config: ModelConfig, report: Report) -> None:
    """Report what cannot work of allow_ragged_batch, batch_input and batch_output; lists left empty may be filled later."""
    if config.HasField("ensemble_scheduling"):
        for name in ("batch_input", "batch_output"):
            if getattr(config, name):
                expected = "nothing, as the models of an ensemble's steps have their own"
                report.add(name, "a setting", expected, "move it to the model of the step", edits=report.removing(name))
        return
    _batch_inputs(config, report)
    _batch_outputs(config, report)


def _batch_inputs(config: ModelConfig, report: Report) -> None:
    taken = {tensor.name: f"input[{index}]" for index, tensor in enumerate(config.input)}
    sequences = config.sequence_batching
    for kind, names in (
        ("control_input", [control.name for control in sequences.control_input]),
        ("state", [state.input_name for state in sequences.state]),
    ):
        taken |= {name: f"sequence_batching.{kind}[{index}]" for index, name in enumerate(names)}
    for index, item in enumerate(config.batch_input):
        path = f"batch_input[{index}]"
        _kind(path, item, report)
        _targets(path, item, "input", taken, report)
        _data_type(path, item, report)
        _source(path, item, config, report)
        is_complete = config.output and not report.doubts("max_batch_size")  # else it may still be filled in
        if item.kind in _ITEM_SHAPES and config.max_batch_size == 0 and is_complete:
            report.add(
                f"{path}.kind",
                f"{BatchInput.Kind.Name(item.kind)} with max_batch_size: 0",
                "max_batch_size of 1 or more, as the shapes are those of a batch's items",
                "set max_batch_size, or use another kind",
            )


def _data_type(path: str, item: BatchInput, report: Report) -> None:
    field = f"{path}.data_type"
    found = BY_CONFIG_TYPE.get(item.data_type)
    if found is None or found.name not in _DATATYPES:
        report.add(
            field,
            "nothing" if found is None else found.name,
            "TYPE_INT32 or TYPE_FP32",
            "write data_type: TYPE_INT32, or what the model takes",
            edits=report.writing(field, "TYPE_INT32") or report.adding(path, "data_type: TYPE_INT32"),
        )


def _batch_outputs(config: ModelConfig, report: Report) -> None:
    taken = {
        state.output_name: f"sequence_batching.state[{index}]"
        for index, state in enumerate(config.sequence_batching.state)
    }
    for index, item in enumerate(config.batch_output):
        path = f"batch_output[{index}]"
        _kind(path, item, report)
        _targets(path, item, "output", taken, report)
        source = _source(path, item, config, report)
        outputs = {output.name: (at, output) for at, output in enumerate(config.output)}
        for at, name in enumerate(item.target_name):
            if name in outputs:
                if source is not None:
                    _dims(*outputs[name], source, report)
            elif config.output and name:
                _unknown(f"{path}.target_name[{at}]", name, "an output of this configuration", outputs, report)


def _kind(path: str, item: BatchInput | BatchOutput, report: Report) -> None:
    """Report a number that is no kind, as JSON may have."""
    if item.kind not in item.Kind.values():
        report.add(f"{path}.kind", str(item.kind), f"one of {', '.join(item.Kind.keys())}", "write one of these")


def _targets(path: str, item: BatchInput | BatchOutput, kind: str, taken: dict[str, str], report: Report) -> None:
    """Report target names that are missing, empty, or taken by something else; they are taken from now on."""
    if not item.target_name:
        report.add(f"{path}.target_name", "nothing", f"the name of an {kind} of the model", 'add target_name: "..."')
    for at, name in enumerate(item.target_name):
        field = f"{path}.target_name[{at}]"
        if not name:
            report.add(field, "an empty name", f"the name of an {kind} of the model", 'write target_name: "..."')
        elif name in taken:
            fix = "remove one of the two"
            report.add(field, f"'{name}', which is in {taken[name]} too", "each name once", fix)
        else:
            taken[name] = field


def _source(path: str, item: BatchInput | BatchOutput, config: ModelConfig, report: Report) -> ModelInput | None:
    """The input that a batch input or output tells of; None, and a report, where there is no right one."""
    names = list(item.source_input)
    field = f"{path}.source_input"
    if len(names) != 1:
        found = f"{len(names)} names" if names else "nothing"
        report.add(field, found, "the name of one input", 'write source_input: "..." once')
        return None
    inputs = {tensor.name: tensor for tensor in config.input}
    source = inputs.get(names[0])
    if source is None:
        if config.input or config.batch_input:  # else auto-completion fills in the inputs
            _unknown(f"{field}[0]", names[0], "an input of this configuration", inputs, report)
        return None
    if source.optional:
        expected = "an input that is in every request"
        report.add(f"{field}[0]", f"'{source.name}', which is optional", expected, "remove optional from that input")
        return None
    return source


def _dims(index: int, output: ModelOutput, source: ModelInput, report: Report) -> None:
    """Report dimensions of a divided output that have no counterpart in its source."""
    dims, given = _model_dims(output), _model_dims(source)
    missing = [axis for axis, dim in enumerate(dims) if dim == -1 and axis >= len(given)]
    if missing and source.dims:
        report.add(
            f"output[{index}].dims",
            f"{list(dims)}, where dimension {missing[0]} varies",
            f"the size of each dimension from {len(given)} on, as the source input '{source.name}' with {list(given)} "
            "has none there to take it from",
            "write the dimension, or name a source_input that has it",
        )


def _model_dims(tensor: ModelInput | ModelOutput) -> Sequence[int]:
    return tuple(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)


def _unknown(field: str, name: str, expected: str, known: Iterable[str], report: Report) -> None:
    names = [other for other in known if other]
    close = difflib.get_close_matches(name, names, 1, 0.5)
    there = ", ".join(f"'{other}'" for other in names) or "none"
    report.add(
        field,
        f"'{name}'",
        f"{expected}: {there}",
        f'write "{close[0]}"' if close else "use one of these names" if names else "list that input",
        edits=report.writing(field, quoted(close[0])) if close else (),
    )
