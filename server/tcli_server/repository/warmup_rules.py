"""The rules of warm-up samples.

Source: `ValidateModelConfig` and `WarmupData` in Triton's core.
"""

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelWarmup

from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.repository.entries import is_file
from tcli_server.repository.layout import WARMUP_FOLDER, ModelFolder
from tcli_server.repository.path_rules import path_fault
from tcli_server.repository.report import Report

_MOST_ELEMENTS = 1 << 28


def check_warmup(config: ModelConfig, folder: ModelFolder, report: Report) -> None:
    """Report what Triton refuses of model_warmup, and samples that would not run."""
    for index, sample in enumerate(config.model_warmup):
        for name, source in sorted(sample.inputs.items()):
            _input(f'model_warmup[{index}].inputs["{name}"].value', source, folder, report)


def _input(path: str, source: ModelWarmup.Input, folder: ModelFolder, report: Report) -> None:
    if source.data_type not in BY_CONFIG_TYPE:
        report.add(f"{path}.data_type", "nothing", "the input's data type", "add data_type: TYPE_FP32 or another one")
    if not source.dims:
        report.add(f"{path}.dims", "nothing", "the input's shape, without the batch dimension", "add dims: [ ... ]")
    count = 1
    for index, dim in enumerate(source.dims):
        if dim < 1:
            field = f"{path}.dims[{index}]"
            report.add(field, str(dim), "1 or more: a sample has one shape", "write the dimension")
        count *= max(1, dim)
    if count > _MOST_ELEMENTS:
        report.add(f"{path}.dims", f"{count} elements", f"at most {_MOST_ELEMENTS}", "use a smaller sample")
    kind = source.WhichOneof("input_data_type")
    if kind is None:
        edits = report.adding(path, "zero_data: true")
        report.add(path, "no data", "zero_data, random_data or input_data_file", "add zero_data: true", edits=edits)
    elif source.input_data_file and not path_fault(source.input_data_file):
        file = folder.path / WARMUP_FOLDER / source.input_data_file
        if not is_file(file):
            report.add(f"{path}.input_data_file", f"{file}, which is no file", "the file of the sample", "put it there")
