"""The rules of a model configuration that hold whatever the model file says: Triton's static checks."""

from collections import Counter
from pathlib import PurePosixPath

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelInstanceGroup, ModelOutput

from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.repository.layout import ModelFolder
from tcli_server.repository.positions import Positions
from tcli_server.repository.problem import Problem
from tcli_server.repository.report import Report


def config_problems(config: ModelConfig, folder: ModelFolder, positions: Positions | None = None) -> list[Problem]:
    """Everything that is wrong with a configuration, complete or not, judged without the model file.

    Triton's rules, and label files, which Triton looks for as well. Fields left empty are no problem, as
    auto-completion may fill them.
    """
    report = Report(folder.config_path, positions)
    _names(config, folder, report)
    _batching(config, report)
    if config.version_policy.HasField("latest") and config.version_policy.latest.num_versions == 0:
        field = "version_policy.latest.num_versions"
        report.add(field, "0, so no version at all", "1 or more", "write num_versions: 1")
    for kind, listed in (("input", config.input), ("output", config.output)):
        counts = Counter(io.name for io in listed)
        for index, io in enumerate(listed):
            _tensor(f"{kind}[{index}]", io, config.max_batch_size, report)
            if io.name and counts[io.name] > 1:
                report.add(f"{kind}[{index}].name", f"'{io.name}' twice", "each name once", f"remove one {kind}")
    for index, tensor in enumerate(config.input):
        _format(f"input[{index}]", tensor, report)
    for index, output in enumerate(config.output):
        _label_file(f"output[{index}]", output, folder, report)
    _instances(config, report)
    _files(config, report)
    return report.problems


def _names(config: ModelConfig, folder: ModelFolder, report: Report) -> None:
    if config.name and config.name != folder.name:
        report.add(
            "name",
            f"'{config.name}'",
            f"'{folder.name}', the name of the model's folder",
            f'write name: "{folder.name}", leave the field out, or rename the folder',
        )


def _batching(config: ModelConfig, report: Report) -> None:
    most = config.max_batch_size
    if most < 0:
        report.add(
            "max_batch_size", str(most), "0 (the model does not batch) or the largest batch", "write max_batch_size: 0"
        )
    for index, size in enumerate(config.dynamic_batching.preferred_batch_size):
        field = f"dynamic_batching.preferred_batch_size[{index}]"
        if size <= 0:
            report.add(field, str(size), "a batch size of 1 or more", "remove it")
        elif size > max(0, most):
            report.add(
                field,
                str(size),
                f"at most max_batch_size, which is {most}",
                f"remove it, or raise max_batch_size to {size}",
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
    _dimensions(f"{path}.dims", io.dims, report)
    if not io.HasField("reshape"):
        return
    _dimensions(f"{path}.reshape.shape", io.reshape.shape, report)
    if not io.reshape.shape and max_batch_size == 0:
        report.add(
            f"{path}.reshape",
            "an empty reshape",
            "at least one dimension, because max_batch_size is 0",
            "remove reshape, or write reshape { shape: [ 1 ] }",
        )
    elif io.dims and _chunks(io.dims) != _chunks(io.reshape.shape):
        report.add(
            f"{path}.reshape",
            f"shape {list(io.reshape.shape)} for dims {list(io.dims)}",
            "as many elements in shape as in dims, also between dimensions of -1",
            "correct one of the two",
        )


def _dimensions(field: str, dims: "list[int]", report: Report) -> None:
    for index, dim in enumerate(dims):
        if dim < 1 and dim != -1:
            report.add(
                f"{field}[{index}]",
                str(dim),
                "1 or more, or -1 where the dimension varies",
                "write the dimension, or -1",
            )


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
            f"list 3 dims (with reshape {{ shape: {list(tensor.dims)} }} if the model wants them so), or remove format",
        )


def _label_file(path: str, output: ModelOutput, folder: ModelFolder, report: Report) -> None:
    name = output.label_filename
    if not name:
        return
    field = f"{path}.label_filename"
    if _leaves(name):
        report.add(field, f"'{name}'", "a path inside the model's folder", f"copy the file to {folder.path}")
    elif not (folder.path / name).is_file():
        report.add(
            field,
            f"'{name}', which is not in {folder.path}",
            "a text file with one class name a line",
            "put the file there, or remove label_filename",
        )


def _instances(config: ModelConfig, report: Report) -> None:
    for index, group in enumerate(config.instance_group):
        path = f"instance_group[{index}]"
        kind = ModelInstanceGroup.Kind.Name(group.kind)
        if group.kind in (ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_MODEL) and group.gpus:
            report.add(f"{path}.gpus", f"{list(group.gpus)} with {kind}", "no gpus", "remove gpus, or write KIND_GPU")
        if group.count < 0:
            report.add(f"{path}.count", str(group.count), "1 or more", "write count: 1")
        if group.profile:
            report.add(f"{path}.profile", str(list(group.profile)), "nothing: TensorRT only", "remove profile")


def _files(config: ModelConfig, report: Report) -> None:
    if _leaves(config.default_model_filename):
        report.add(
            "default_model_filename",
            f"'{config.default_model_filename}'",
            "a path inside the version's folder",
            "put the file into the version's folder",
        )


def _leaves(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts
