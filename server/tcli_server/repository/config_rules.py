"""The rules of a model configuration that hold whatever the model file says: Triton's static checks."""

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelInstanceGroup, ModelOutput

from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.repository.checksums import check_agents
from tcli_server.repository.ensemble_rules import check_ensemble
from tcli_server.repository.layout import ModelFolder
from tcli_server.repository.metric_rules import check_metrics
from tcli_server.repository.path_rules import check_paths
from tcli_server.repository.pbtxt import quoted
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.queue_rules import check_batching
from tcli_server.repository.ragged_rules import check_ragged
from tcli_server.repository.report import Report
from tcli_server.repository.sequence_rules import check_sequences
from tcli_server.repository.warmup_rules import check_warmup

_MOST_DIMENSIONS = 64


def config_problems(config: ModelConfig, folder: ModelFolder, positions: Positions | None = None) -> list[Problem]:
    """Everything that is wrong with a configuration, complete or not, judged without the model file.

    Triton's rules, and label files, which Triton looks for as well. Fields left empty are no problem, as
    auto-completion may fill them.
    """
    report = Report(folder.config_path, positions)
    _names(config, folder, report)
    check_batching(config, report)
    if config.version_policy.HasField("latest") and config.version_policy.latest.num_versions == 0:
        field = "version_policy.latest.num_versions"
        latest = "version_policy.latest"
        edits = report.writing(field, "1") or report.adding(latest, "num_versions: 1")
        report.add(field, "0, so no version at all", "1 or more", "write num_versions: 1", edits=edits)
    for kind, listed in (("input", config.input), ("output", config.output)):
        names: set[str] = set()
        for index, io in enumerate(listed):
            _tensor(f"{kind}[{index}]", io, config.max_batch_size, report)
            if io.name and io.name in names:
                field = f"{kind}[{index}].name"
                fix = f"remove this {kind}, or write the name that was meant"
                report.add(
                    field, f"'{io.name}' twice", "each name once", fix, edits=report.removing(f"{kind}[{index}]")
                )
            names.add(io.name)
    for index, tensor in enumerate(config.input):
        _format(f"input[{index}]", tensor, report)
    check_sequences(config, folder, report)
    check_ensemble(config, report)
    check_ragged(config, report)
    check_warmup(config, folder, report)
    _cache(config, report)
    _instances(config, report)
    check_paths(config, folder, report)
    check_agents(config, report)
    check_metrics(config, report)
    return report.problems


def _names(config: ModelConfig, folder: ModelFolder, report: Report) -> None:
    if config.name and config.name != folder.name:
        report.add(
            "name",
            f"'{config.name}'",
            f"'{folder.name}', the name of the model's folder",
            f'write name: "{folder.name}", leave the field out, or rename the folder',
            edits=report.writing("name", quoted(folder.name)),
        )


def _tensor(path: str, io: ModelInput | ModelOutput, max_batch_size: int, report: Report) -> None:
    if not io.name:
        report.add(f"{path}.name", "nothing", "the tensor's name in the model", 'add name: "..."')
    if io.data_type not in BY_CONFIG_TYPE:
        report.add(f"{path}.data_type", "nothing", "the tensor's data type", "add data_type: TYPE_FP32 or another one")
    if not io.dims:
        report.add(
            f"{path}.dims", "nothing", "the tensor's shape, without the batch dimension where the model batches",
            "add dims: [ ... ]; for a scalar dims: [ 1 ]"
            + (" and reshape { shape: [ ] }" if max_batch_size > 0 else ""),
        )  # fmt: skip
    are_right = _dimensions(f"{path}.dims", io.dims, report)
    if not io.HasField("reshape"):
        return
    are_right = _dimensions(f"{path}.reshape.shape", io.reshape.shape, report) and are_right
    if not io.reshape.shape and max_batch_size == 0 and not report.doubts("max_batch_size"):
        report.add(
            f"{path}.reshape",
            "an empty reshape",
            "at least one dimension, because max_batch_size is 0",
            "remove reshape, or write reshape { shape: [ 1 ] }",
            edits=report.removing(f"{path}.reshape"),
        )
    elif are_right and io.dims and _chunks(io.dims) != _chunks(io.reshape.shape):
        report.add(
            f"{path}.reshape",
            f"shape {list(io.reshape.shape)} for dims {list(io.dims)}",
            "as many elements in shape as in dims, also between dimensions of -1",
            "correct one of the two",
        )


def _dimensions(field: str, dims: "list[int]", report: Report) -> bool:
    """Report dimensions that are none; whether all of them are right."""
    if len(dims) > _MOST_DIMENSIONS:
        report.add(field, f"{len(dims)} dimensions", f"at most {_MOST_DIMENSIONS}", "list the model's own dimensions")
        return False
    wrong = [index for index, dim in enumerate(dims) if dim < 1 and dim != -1]
    for index in wrong:
        report.add(
            f"{field}[{index}]",
            str(dims[index]),
            "1 or more, or -1 where the dimension varies",
            "write -1, or the dimension",
            edits=report.writing(f"{field}[{index}]", "-1"),
        )
    return not wrong and not report.doubts(field)


def _chunks(dims: "list[int]") -> list[int]:
    """Element counts of the parts that dimensions of -1 separate; no dimension at all is one element."""
    counts = [1]
    for dim in dims:
        if dim == -1:
            counts.append(1)
        else:
            counts[-1] *= dim
    return counts


def _format(path: str, tensor: ModelInput, report: Report) -> None:
    if tensor.format != ModelInput.FORMAT_NONE and tensor.dims and len(tensor.dims) != 3:
        name = ModelInput.Format.Name(tensor.format)
        report.add(
            f"{path}.format",
            f"{name} with {len(tensor.dims)} dims",
            "exactly 3 dims for an image, the batch dimension not among them",
            f"remove format, or list 3 dims (with reshape {{ shape: {list(tensor.dims)} }} if the model wants them so)",
            edits=report.removing(f"{path}.format"),
        )


def _instances(config: ModelConfig, report: Report) -> None:
    for index, group in enumerate(config.instance_group):
        path = f"instance_group[{index}]"
        kind = ModelInstanceGroup.Kind.Name(group.kind)
        if group.kind in (ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_MODEL) and group.gpus:
            found, fix = f"{list(group.gpus)} with {kind}", "remove gpus, or write KIND_GPU"
            report.add(f"{path}.gpus", found, "no gpus", fix, edits=report.removing(f"{path}.gpus"))
        if group.count < 0:
            edits = report.writing(f"{path}.count", "1")
            report.add(f"{path}.count", str(group.count), "1 or more", "write count: 1", edits=edits)


def _cache(config: ModelConfig, report: Report) -> None:
    if not config.response_cache.enable:
        return
    for with_what, is_set in (
        ("sequence_batching", config.HasField("sequence_batching")),
        ("dynamic_batching.preserve_ordering", config.dynamic_batching.preserve_ordering),
        ("decoupled models", config.model_transaction_policy.decoupled),
    ):
        if is_set:
            field = "response_cache.enable"
            expected = f"false, as answers from a cache do not go with {with_what}"
            report.add(field, "true", expected, "remove response_cache", edits=report.removing("response_cache"))
