"""The rules of dynamic batching: batch sizes, priorities and queue policies."""

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelDynamicBatching, ModelQueuePolicy

from tcli_server.repository.report import Report

_BATCHING = "dynamic_batching"


def check_batching(config: ModelConfig, report: Report) -> None:
    """Report what Triton refuses of max_batch_size and dynamic_batching."""
    most = config.max_batch_size
    if most < 0:
        report.add(
            "max_batch_size",
            str(most),
            "0 (the model does not batch) or the largest batch",
            "write max_batch_size: 0",
            edits=report.writing("max_batch_size", "0"),
        )
    _preferred_sizes(config, report)
    _priorities(config.dynamic_batching, report)
    if config.dynamic_batching.preserve_ordering:
        _ordering(config.dynamic_batching, report)


def _preferred_sizes(config: ModelConfig, report: Report) -> None:
    most = config.max_batch_size
    for index, size in enumerate(config.dynamic_batching.preferred_batch_size):
        field = f"{_BATCHING}.preferred_batch_size[{index}]"
        if size <= 0:
            report.add(field, str(size), "a batch size of 1 or more", "remove it", edits=report.removing(field))
        elif size > most >= 0 and not report.doubts("max_batch_size"):
            report.add(
                field,
                str(size),
                f"at most max_batch_size, which is {most}",
                f"remove it, or raise max_batch_size to {size}",
                edits=report.removing(field),
            )


def _priorities(batching: ModelDynamicBatching, report: Report) -> None:
    """Levels count from 1; without levels the policies of levels mean nothing and are not judged, as in Triton."""
    levels = batching.priority_levels
    if levels == 0 or report.doubts(f"{_BATCHING}.priority_levels"):
        return
    default = f"{_BATCHING}.default_priority_level"
    if not 1 <= batching.default_priority_level <= levels:
        middle = (levels + 1) // 2
        report.add(
            default,
            str(batching.default_priority_level or "nothing"),
            f"a level from 1 (the highest) to {levels}, for requests that ask for none",
            f"write default_priority_level: {middle}",
            edits=report.writing(default, str(middle)) or report.adding(_BATCHING, f"default_priority_level: {middle}"),
        )
    for level in sorted(batching.priority_queue_policy):
        if not 1 <= level <= levels:
            field = f'{_BATCHING}.priority_queue_policy["{level}"]'
            report.add(
                field,
                f"a policy for level {level}",
                f"a level from 1 to {levels} (priority_levels)",
                "remove this policy, or write the level that was meant",
                edits=report.removing(field),
            )


def _ordering(batching: ModelDynamicBatching, report: Report) -> None:
    """Nothing may overtake where the order is to be kept."""
    field = f"{_BATCHING}.preserve_ordering"
    if batching.priority_levels > 1 and not report.doubts(f"{_BATCHING}.priority_levels"):
        report.add(
            field,
            f"true with priority_levels: {batching.priority_levels}",
            "false, as a request of a higher level overtakes others",
            "remove preserve_ordering, or write priority_levels: 1",
            edits=report.removing(field),
        )
        return
    policies = {f"{_BATCHING}.default_queue_policy": batching.default_queue_policy} | {
        f'{_BATCHING}.priority_queue_policy["{level}"].value': batching.priority_queue_policy[level]
        for level in sorted(batching.priority_queue_policy)
    }
    for path, policy in policies.items():
        if policy.timeout_action == ModelQueuePolicy.DELAY and policy.default_timeout_microseconds:
            report.add(
                f"{path}.timeout_action",
                "DELAY with preserve_ordering: true",
                "REJECT, as a request that is delayed is overtaken by others",
                "write timeout_action: REJECT, or remove preserve_ordering",
                edits=report.writing(f"{path}.timeout_action", "REJECT"),
            )
