"""Implicit state: what the server keeps for a sequence between two of its requests.

Source: `state` in Triton's model_config.proto. Two departures: an output is paired with the input of the same entry (Triton
pairs them by the order of their names), and a state without an initial one starts as zeros or empty strings (in Triton as
whatever lies in memory).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelSequenceBatching
from tritonclient.utils import deserialize_bytes_tensor

from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.request import Inputs


@dataclass(frozen=True, slots=True)
class State:
    """One entry.

    Attributes:
        initial: what a sequence starts with, the batch dimension included where the model batches.
    """

    input_name: str
    output_name: str
    initial: np.ndarray


class States:
    """All implicit states of a model.

    Args:
        folder: has the files of `initial_state.data_file`.
        batches: whether the model has a batch dimension.
    """

    def __init__(self, config: ModelSequenceBatching, folder: Path, batches: bool) -> None:
        listed = {entry.output_name: entry for entry in reversed(config.state)}  # of two alike the first one counts
        self._states = [_read(entry, folder, batches) for entry in listed.values()]
        self.outputs = tuple(state.output_name for state in self._states)
        """The names of the outputs that hold the next state."""
        self.initial: Inputs = {state.input_name: state.initial for state in self._states}
        """What a sequence starts with."""

    def next(self, current: Inputs, outputs: Inputs) -> Inputs:
        """The state inputs of the next request; what the model did not give stays."""
        return {state.input_name: outputs.get(state.output_name, current[state.input_name]) for state in self._states}


def _read(entry: ModelSequenceBatching.State, folder: Path, batches: bool) -> State:
    dtype = BY_CONFIG_TYPE[entry.data_type].dtype
    initial = entry.initial_state[0] if entry.initial_state else None
    dims = list(initial.dims) if initial is not None else [max(dim, 1) for dim in entry.dims]
    if initial is not None and initial.data_file:
        path = folder / initial.data_file
        if dtype.hasobject:
            array = deserialize_bytes_tensor(path.read_bytes()).reshape(dims)
        else:
            array = np.fromfile(path, dtype, count=int(np.prod(dims))).reshape(dims)
    elif dtype.hasobject:
        array = np.full(dims, b"", np.object_)
    else:
        array = np.zeros(dims, dtype)
    return State(entry.input_name, entry.output_name, array[np.newaxis] if batches else array)
