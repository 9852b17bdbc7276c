"""What Triton's configuration can say and this server cannot do yet: refused by name, never ignored."""

from collections.abc import Collection, Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository.layout import ModelFolder
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.report import Report

_SUPPORTED = frozenset(
    {
        "name",
        "platform",
        "backend",
        "runtime",
        "version_policy",
        "max_batch_size",
        "input.name",
        "input.data_type",
        "input.format",
        "input.dims",
        "input.reshape",
        "input.allow_ragged_batch",
        "input.optional",
        "output.name",
        "output.data_type",
        "output.dims",
        "output.reshape",
        "output.label_filename",
        "batch_input",
        "batch_output",
        "instance_group.name",
        "instance_group.kind",
        "instance_group.count",
        "instance_group.gpus",
        "instance_group.rate_limiter",
        "dynamic_batching.preferred_batch_size",
        "dynamic_batching.max_queue_delay_microseconds",
        "dynamic_batching.preserve_ordering",
        "dynamic_batching.priority_levels",
        "dynamic_batching.default_priority_level",
        "dynamic_batching.default_queue_policy",
        "dynamic_batching.priority_queue_policy",
        "ensemble_scheduling.step",
        "ensemble_scheduling.max_inflight_requests",
        "model_warmup",
        "response_cache",
        "sequence_batching.max_sequence_idle_microseconds",
        "sequence_batching.control_input",
        "sequence_batching.state",
        "sequence_batching.direct",
        "sequence_batching.oldest",
        "sequence_batching.iterative_sequence",
        "default_model_filename",
        "model_repository_agents.agents",
        "parameters",
        "metric_tags",
        "model_metrics",
        "model_transaction_policy.decoupled",
        "optimization.graph",
        "optimization.input_pinned_memory",
        "optimization.output_pinned_memory",
    }
)
_BATCH_STRATEGY = "TRITON_BATCH_STRATEGY_PATH"


def unsupported_problems(
    config: ModelConfig, folder: ModelFolder, positions: Positions | None = None, of_backend: Collection[str] = ()
) -> list[Problem]:
    """Every field that is set to something this server does not do yet, by its full path.

    Args:
        of_backend: fields that the model's backend reads, and others do not.
    """
    report = Report(folder.config_path, positions)
    for path, value in _set_fields(config, "", "", _SUPPORTED.union(of_backend)):
        _no_such_field(path, value, report)
    if _BATCH_STRATEGY in config.parameters:
        _no_such_field(f'parameters["{_BATCH_STRATEGY}"]', "a custom batching library", report)
    return report.problems


def _no_such_field(path: str, value: str, report: Report) -> None:
    report.add(
        path,
        value,
        "nothing: tcli does not support this field yet",
        "remove it, or serve this model with NVIDIA Triton",
        edits=report.removing(path),
    )


def _set_fields(message: Message, path: str, pattern: str, known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Path and value of each unsupported field that is set."""
    for field, value in message.ListFields():
        field_path = f"{path}{field.name}"
        field_pattern = f"{pattern}{field.name}"
        if field_pattern in known:
            continue
        if field.message_type is None or _is_map(field):
            yield field_path, _short(field, value)
        elif any(supported.startswith(field_pattern + ".") for supported in known):
            for index, item in enumerate(value if field.is_repeated else [value]):
                item_path = f"{field_path}[{index}]" if field.is_repeated else field_path
                yield from _set_fields(item, item_path + ".", field_pattern + ".", known)
        elif field.is_repeated or field.containing_oneof is not None or value.ListFields():
            yield field_path, "a setting"


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _short(field: FieldDescriptor, value: object) -> str:
    if field.message_type is not None or field.is_repeated:
        return "a setting"
    if field.enum_type is not None:
        return str(field.enum_type.values_by_number[int(str(value))].name)
    return str(value).lower() if isinstance(value, bool) else f"'{value}'"
