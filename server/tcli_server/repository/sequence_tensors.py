"""Whether the model file has the inputs and outputs that sequence batching speaks of."""

from collections.abc import Mapping

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelSequenceBatching

from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.repository.report import Report
from tcli_server.signature import TensorSignature

_Control = ModelSequenceBatching.Control
_DATATYPES = {"int32_false_true": "INT32", "fp32_false_true": "FP32", "bool_false_true": "BOOL"}


def check_sequence_tensors(
    config: ModelConfig,
    takes: Mapping[str, TensorSignature],
    gives: Mapping[str, TensorSignature],
    report: Report,
) -> None:
    """Report controls and states that the model file does not have, or has of another type."""
    for index, listed in enumerate(config.sequence_batching.control_input):
        path = f"sequence_batching.control_input[{index}]"
        for control in listed.control:
            _compare(f"{path}.name", listed.name, _datatype(control), takes, "input", report)
    for index, state in enumerate(config.sequence_batching.state):
        path = f"sequence_batching.state[{index}]"
        datatype = BY_CONFIG_TYPE[state.data_type].name if state.data_type in BY_CONFIG_TYPE else ""
        _compare(f"{path}.input_name", state.input_name, datatype, takes, "input", report)
        _compare(f"{path}.output_name", state.output_name, datatype, gives, "output", report)


def _datatype(control: ModelSequenceBatching.Control) -> str:
    """Empty where the configuration does not say it, which is told elsewhere."""
    if control.kind == _Control.CONTROL_SEQUENCE_CORRID:
        found = BY_CONFIG_TYPE.get(control.data_type)
        return found.name if found is not None else ""
    return next((datatype for field, datatype in _DATATYPES.items() if getattr(control, field)), "")


def _compare(
    field: str, name: str, datatype: str, tensors: Mapping[str, TensorSignature], kind: str, report: Report
) -> None:
    tensor = tensors.get(name)
    if tensor is None:
        if name:
            known = ", ".join(f"'{other}'" for other in tensors) or "none"
            report.add(field, f"'{name}'", f"an {kind} of the model file: {known}", "use one of these names")
    elif datatype and tensor.datatype not in ("", datatype):
        report.add(
            field,
            f"'{name}' as {datatype}",
            f"{tensor.datatype}, as in the model file",
            f"use values of type {tensor.datatype} for '{name}', or export the model again",
        )
