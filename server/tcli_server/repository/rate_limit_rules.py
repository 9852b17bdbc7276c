"""The rules of `instance_group.rate_limiter`, which count where runs are limited (`--rate-limit=execution_count`)."""

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository.layout import ModelFolder
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.report import Report


def rate_limit_problems(config: ModelConfig, folder: ModelFolder, positions: Positions | None = None) -> list[Problem]:
    """Resources without a name, named twice in a group, or named global and per device in one model."""
    report = Report(folder.config_path, positions)
    kinds: dict[str, bool] = {}
    for index, group in enumerate(config.instance_group):
        names: set[str] = set()
        for number, resource in enumerate(group.rate_limiter.resources):
            field = f"instance_group[{index}].rate_limiter.resources[{number}]"
            is_global = bool(getattr(resource, "global"))
            if not resource.name:
                report.add(f"{field}.name", "nothing", "the resource's name", 'add name: "..."')
            elif kinds.setdefault(resource.name, is_global) != is_global:
                report.add(
                    f"{field}.global",
                    f'"{resource.name}", once with global: true and once without',
                    f'one of the two: Resource "{resource.name}" is present as both global and device-specific resource in '
                    "the model configuration.",
                    "write global: true for both, or for none, or give one of the resources another name",
                )
            elif resource.name in names:
                report.add(
                    f"{field}.name",
                    f"'{resource.name}' twice",
                    "each resource once in a group",
                    "remove one of the two, or write the name that was meant",
                    edits=report.removing(field),
                )
            names.add(resource.name)
    return report.problems
