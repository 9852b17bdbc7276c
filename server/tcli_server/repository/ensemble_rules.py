"""The rules of ensembles that hold whatever models they are made of.

Source: `ValidateEnsembleSchedulingConfig` and `ValidateModelConfig` in Triton's core.
"""

from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository.report import Report

ENSEMBLE = "ensemble"
"""The platform of ensembles."""

_SCHEDULING = "ensemble_scheduling"


def check_ensemble(config: ModelConfig, report: Report) -> None:
    """Report what Triton refuses of an ensemble, judged alone."""
    is_ensemble = config.platform == ENSEMBLE
    if config.HasField(_SCHEDULING) is not is_ensemble:
        if is_ensemble:
            report.add(_SCHEDULING, "nothing", "the steps of the ensemble", "add ensemble_scheduling { step [ ... ] }")
        else:
            report.add(
                "platform",
                f"'{config.platform}' with ensemble_scheduling",
                f"'{ENSEMBLE}'",
                f'write platform: "{ENSEMBLE}", or remove ensemble_scheduling',
                edits=report.writing("platform", f'"{ENSEMBLE}"') or report.adding("", f'platform: "{ENSEMBLE}"'),
            )
        return
    if not is_ensemble:
        return
    if config.backend:
        report.add(
            "backend",
            f"'{config.backend}' with platform: \"{ENSEMBLE}\"",
            "nothing, as an ensemble has no backend",
            "remove it",
            edits=report.removing("backend"),
        )
    for field in ("instance_group", "optimization", "model_warmup"):
        if config.HasField(field) if field == "optimization" else getattr(config, field):
            path = field if field == "optimization" else f"{field}[0]"
            expected = "nothing, as an ensemble has no instances of its own"
            report.add(path, "a setting", expected, "remove it", edits=report.removing(path))
    for kind in ("input", "output"):
        if not getattr(config, kind):
            report.add(kind, "nothing", f"the ensemble's {kind}s", f"add {kind} [ ... ]")
    _steps(config, report)
    if not report.problems:
        _tensors(config, report)


def _steps(config: ModelConfig, report: Report) -> None:
    if not config.ensemble_scheduling.step:
        report.add(f"{_SCHEDULING}.step", "nothing", "at least one step", "add step { model_name: ... }")
    for index, step in enumerate(config.ensemble_scheduling.step):
        path = f"{_SCHEDULING}.step[{index}]"
        if not step.model_name:
            report.add(f"{path}.model_name", "nothing", "the name of a model", 'add model_name: "..."')
        for field in ("input_map", "output_map"):
            if not getattr(step, field):
                expected = "the model's tensors and the ensemble's that they are"
                report.add(f"{path}.{field}", "nothing", expected, f'add {field} {{ key: "..." value: "..." }}')


def _tensors(config: ModelConfig, report: Report) -> None:
    """Every tensor is made once, and taken by somebody."""
    inputs = [tensor.name for tensor in config.input]
    outputs = [tensor.name for tensor in config.output]
    made = set(inputs)
    for index, step in enumerate(config.ensemble_scheduling.step):
        for name, tensor in step.output_map.items():
            if tensor in made:
                field = f'{_SCHEDULING}.step[{index}].output_map["{name}"]'
                other = "an input of the ensemble" if tensor in inputs else "written by another step"
                report.add(
                    field, f"'{tensor}', which is {other}", "a tensor that nobody else writes", "use another name"
                )
            made.add(tensor)
    taken = {tensor for step in config.ensemble_scheduling.step for tensor in step.input_map.values()}
    reached = _reached(config)
    for index, name in enumerate(inputs):
        if name not in taken:
            report.add(f"input[{index}].name", f"'{name}', which no step takes", "an input that is used", "remove it")
    for index, name in enumerate(outputs):
        if name not in made or name in inputs:
            report.add(
                f"output[{index}].name", f"'{name}', which no step writes", "an output of a step", "map one to it"
            )
        elif name not in reached:
            report.add(
                f"output[{index}].name",
                f"'{name}', which is not connected to the inputs: {_missing(config, reached)}",
                "a tensor that can be made from the inputs",
                "map what is missing",
            )
    for step_index, name, tensor in _written(config):
        if tensor not in taken and tensor not in outputs:
            field = f'{_SCHEDULING}.step[{step_index}].output_map["{name}"]'
            report.add(field, f"'{tensor}', which nobody uses", "a tensor that is used", "remove it from output_map")


def _written(config: ModelConfig) -> Iterator[tuple[int, str, str]]:
    for index, step in enumerate(config.ensemble_scheduling.step):
        for name, tensor in step.output_map.items():
            yield index, name, tensor


def _reached(config: ModelConfig) -> set[str]:
    """The tensors that can be made from the inputs."""
    reached = {tensor.name for tensor in config.input}
    while True:
        new = {
            tensor
            for step in config.ensemble_scheduling.step
            if set(step.input_map.values()) <= reached
            for tensor in step.output_map.values()
        } - reached
        if not new:
            return reached
        reached |= new


def _missing(config: ModelConfig, reached: set[str]) -> str:
    taken = {tensor for step in config.ensemble_scheduling.step for tensor in step.input_map.values()}
    return ", ".join(f"nothing makes '{tensor}'" for tensor in sorted(taken - reached))
