"""The rules of sequence batching: controls, implicit states, strategies.

Source: `ValidateModelConfig`'s part about sequences and `GetBooleanSequenceControlProperties` in Triton's core.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup, ModelSequenceBatching
from tritonclient.utils import deserialize_bytes_tensor

from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.repository.entries import is_file
from tcli_server.repository.layout import INITIAL_STATE_FOLDER, ModelFolder
from tcli_server.repository.path_rules import path_fault
from tcli_server.repository.report import Report

_SEQUENCES = "sequence_batching"
_CORRELATION_TYPES = ("UINT64", "INT64", "UINT32", "INT32", "BYTES")
_VALUES = ("int32_false_true", "fp32_false_true", "bool_false_true")
_Control = ModelSequenceBatching.Control

_MOST_SLOTS = 1 << 20
"""Sequences that an instance may hold; there is a place for each, whether it is taken or not."""

_MOST_DIMENSIONS = 63
"""Dimensions of a state: arrays have one more, for the batch."""

_LARGEST_STATE = 1 << 32
"""Bytes of a sequence's state to begin with."""


def check_sequences(config: ModelConfig, folder: ModelFolder, report: Report) -> None:
    """Report what Triton refuses of sequence_batching."""
    if not config.HasField(_SEQUENCES):
        return
    _controls(config, report)
    for index, state in enumerate(config.sequence_batching.state):
        _state(f"{_SEQUENCES}.state[{index}]", state, config, folder, report)
    _strategy(config, report)


def _controls(config: ModelConfig, report: Report) -> None:
    tensors: set[str] = set()
    kinds: set[int] = set()
    listed = {tensor.name for tensor in config.input}
    for index, control_input in enumerate(config.sequence_batching.control_input):
        path = f"{_SEQUENCES}.control_input[{index}]"
        name = control_input.name
        if not name:
            report.add(f"{path}.name", "nothing", "the name of an input of the model", 'add name: "..."')
        elif name in tensors:
            report.add(
                f"{path}.name", f"'{name}' twice", "each name once", "remove this one", edits=report.removing(path)
            )
        elif name in listed:
            field = next(f"input[{at}]" for at, tensor in enumerate(config.input) if tensor.name == name)
            report.add(
                f"{field}.name",
                f"'{name}', which is a control input too",
                "only inputs that clients send",
                f"remove this input: the server fills '{name}'",
                edits=report.removing(field),
            )
        tensors.add(name)
        if not control_input.control:
            report.add(path, "no control", "what the input tells the model", "add control { kind: ... }")
        for at, control in enumerate(control_input.control):
            _control(f"{path}.control[{at}]", control, kinds, report)


def _control(path: str, control: ModelSequenceBatching.Control, kinds: set[int], report: Report) -> None:
    kind = _Control.Kind.Name(control.kind)
    if control.kind in kinds:
        report.add(f"{path}.kind", f"{kind} twice", "each kind once", "remove this one", edits=report.removing(path))
    kinds.add(control.kind)
    given = [name for name in _VALUES if getattr(control, name)]
    if control.kind == _Control.CONTROL_SEQUENCE_CORRID:
        for name in given:
            field = f"{path}.{name}"
            report.add(field, f"a value of {kind}", "no values", "remove it", edits=report.removing(field))
        found = BY_CONFIG_TYPE.get(control.data_type)
        if found is None or found.name not in _CORRELATION_TYPES:
            field = f"{path}.data_type"
            report.add(
                field,
                "nothing" if found is None else f"{found.name}",
                "TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 or TYPE_STRING",
                "write data_type: TYPE_UINT64",
                edits=report.writing(field, "TYPE_UINT64") or report.adding(path, "data_type: TYPE_UINT64"),
            )
        return
    if len(given) != 1:
        report.add(
            path,
            f"{' and '.join(given) or 'no values'} for {kind}",
            "one of int32_false_true, fp32_false_true and bool_false_true",
            "write int32_false_true: [ 0, 1 ]",
        )
    elif len(getattr(control, given[0])) != 2:
        field = f"{path}.{given[0]}"
        report.add(field, f"{list(getattr(control, given[0]))}", "two values", f"write {given[0]}: [ 0, 1 ]")


def _state(
    path: str, state: ModelSequenceBatching.State, config: ModelConfig, folder: ModelFolder, report: Report
) -> None:
    for name in ("input_name", "output_name"):
        if not getattr(state, name):
            report.add(f"{path}.{name}", "nothing", f"the name of an {name[:-5]} of the model", f'add {name}: "..."')
    if state.data_type not in BY_CONFIG_TYPE:
        report.add(f"{path}.data_type", "nothing", "the state's data type", "add data_type: TYPE_FP32 or another one")
    for index, dim in enumerate(state.dims):
        if dim < 1 and dim != -1:
            field = f"{path}.dims[{index}]"
            report.add(field, str(dim), "1 or more, or -1 where the dimension varies", "write the dimension")
    if not state.dims:
        report.add(f"{path}.dims", "nothing", "the state's shape without the batch dimension", "add dims: [ ... ]")
    elif not state.initial_state:
        _size(f"{path}.dims", state.dims, state.data_type, report)
    if state.use_growable_memory:
        field = f"{path}.use_growable_memory"
        groups = config.instance_group
        on_gpu = groups and all(group.kind == ModelInstanceGroup.KIND_GPU for group in groups)
        if not (state.use_same_buffer_for_input_output and on_gpu):
            expected = "use_same_buffer_for_input_output: true with it, and only instances of KIND_GPU"
            report.add(field, "true", expected, "remove it", edits=report.removing(field))
    if len(state.initial_state) > 1:
        field = f"{path}.initial_state[1]"
        report.add(field, "a second one", "one initial state at most", "remove it", edits=report.removing(field))
    for index, initial in enumerate(state.initial_state):
        _initial(f"{path}.initial_state[{index}]", state, initial, folder, report)


def _initial(
    path: str,
    state: ModelSequenceBatching.State,
    initial: ModelSequenceBatching.InitialState,
    folder: ModelFolder,
    report: Report,
) -> None:
    if not initial.name:
        report.add(
            f"{path}.name", "nothing", "a name", 'add name: "initial"', edits=report.adding(path, 'name: "initial"')
        )
    if initial.data_type != state.data_type and state.data_type in BY_CONFIG_TYPE:
        field = f"{path}.data_type"
        found = BY_CONFIG_TYPE[initial.data_type].name if initial.data_type in BY_CONFIG_TYPE else "nothing"
        report.add(
            field, found, f"{BY_CONFIG_TYPE[state.data_type].name}, as the state's", "write the state's data type"
        )
    wrong = [dim for dim in initial.dims if dim < 0]
    fits = len(initial.dims) == len(state.dims) and all(
        dim in (-1, own) for dim, own in zip(state.dims, initial.dims, strict=True)
    )
    if wrong or not fits:
        report.add(
            f"{path}.dims", str(list(initial.dims)), f"fixed dims that fit the state's {list(state.dims)}", "write them"
        )
    _size(f"{path}.dims", initial.dims, initial.data_type, report)
    if initial.WhichOneof("state_data") is None:
        edits = report.adding(path, "zero_data: true")
        report.add(path, "no data", "zero_data or data_file", "add zero_data: true", edits=edits)
    elif initial.data_file and not path_fault(initial.data_file) and not wrong and initial.data_type in BY_CONFIG_TYPE:
        _data_file(f"{path}.data_file", initial, folder, report)


def _size(field: str, dims: Sequence[int], data_type: int, report: Report) -> None:
    kind = BY_CONFIG_TYPE.get(data_type)
    size = math.prod(max(dim, 1) for dim in dims) * ((kind.size if kind is not None else 0) or 8)
    if len(dims) > _MOST_DIMENSIONS:
        report.add(field, f"{len(dims)} dimensions", f"at most {_MOST_DIMENSIONS}", "give the state fewer dimensions")
    elif size > _LARGEST_STATE:
        report.add(
            field, f"{list(dims)}, {size} bytes", f"a state of at most {_LARGEST_STATE} bytes", "make it smaller"
        )


def _data_file(field: str, initial: ModelSequenceBatching.InitialState, folder: ModelFolder, report: Report) -> None:
    kind = BY_CONFIG_TYPE[initial.data_type]
    path = folder.path / INITIAL_STATE_FOLDER / initial.data_file
    if not is_file(path):
        report.add(field, f"{path}, which is no file", "the file of the initial state", "put it there")
    elif not kind.size:
        found, count = _strings(path), math.prod(initial.dims)
        if found != count:
            expected = f"{count} strings for {list(initial.dims)}, each after its length in 4 bytes"
            told = f"{found} strings" if found else f"{path}, which holds no serialised strings"
            report.add(field, told, expected, "write them so, or zero_data: true")
    elif path.stat().st_size < (needed := math.prod(initial.dims) * kind.size):
        report.add(field, f"{path.stat().st_size} bytes", f"{needed} bytes for {list(initial.dims)}", "write them all")


def _strings(path: Path) -> int:
    """How many strings a file holds, 0 if anything in it is none."""
    try:
        return len(deserialize_bytes_tensor(path.read_bytes())) if path.stat().st_size <= _LARGEST_STATE else 0
    except Exception:  # whatever the file holds instead, or it cannot be read
        return 0


def _strategy(config: ModelConfig, report: Report) -> None:
    sequences, most = config.sequence_batching, config.max_batch_size
    utilization = sequences.direct.minimum_slot_utilization
    if not 0 <= utilization <= 1:
        field = f"{_SEQUENCES}.direct.minimum_slot_utilization"
        report.add(field, f"{utilization:g}", "a share from 0 to 1", "write 1", edits=report.writing(field, "1"))
    slots = "max_batch_size", most
    if sequences.oldest.max_candidate_sequences > 0:
        slots = f"{_SEQUENCES}.oldest.max_candidate_sequences", sequences.oldest.max_candidate_sequences
    if slots[1] > _MOST_SLOTS:
        report.add(slots[0], str(slots[1]), f"at most {_MOST_SLOTS}, as each sequence has its place", "make it smaller")
    for index, size in enumerate(sequences.oldest.preferred_batch_size):
        field = f"{_SEQUENCES}.oldest.preferred_batch_size[{index}]"
        if size < 1 or size > max(most, 0):
            expected = f"1 to max_batch_size, which is {most}"
            report.add(field, str(size), expected, "remove it", edits=report.removing(field))


def fed_by_the_server(config: ModelConfig) -> Iterator[str]:
    """The inputs of the model file that no client sends and that `input` therefore does not list."""
    sequences = config.sequence_batching
    yield from (control.name for control in sequences.control_input)
    yield from (state.input_name for state in sequences.state)
    yield from (name for batch_input in config.batch_input for name in batch_input.target_name)
