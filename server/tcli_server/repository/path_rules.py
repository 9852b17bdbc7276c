"""What may be a path in a configuration: one that stays inside the model's folder, on every system."""

import re
from collections.abc import Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.repository.layout import ModelFolder
from tcli_server.repository.report import Report
from tcli_server.repository.text_file import not_a_file

_MOST_BYTES_OF_A_NAME = 255
_MOST_BYTES_OF_A_PATH = 1024


def check_paths(config: ModelConfig, folder: ModelFolder, report: Report) -> None:
    """Report every path that leaves the model's folder or can name no file, and label files that are not there."""
    for field, path in _paths(config):
        why = path_fault(path)
        if why:
            shown = path if len(path) <= 60 else f"{path[:60]}..."
            report.add(
                field,
                f"{shown!a}, {why}",
                "the path of a file inside the model's folder, written with '/' and relative to it",
                f"copy the file into {folder.path}, and write its path from there",
            )
    for index, output in enumerate(config.output):
        if output.label_filename and path_fault(output.label_filename) is None:
            _label_file(f"output[{index}].label_filename", output.label_filename, folder, report)


def path_fault(path: str) -> str | None:
    """What is wrong with a path that is to stay inside the model's folder, in words; None where nothing is."""
    parts = path.split("/")
    if "\0" in path:
        return "which has a NUL character"
    if "\\" in path:
        return "which has a backslash"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "an absolute path"
    if ".." in parts:
        return "which leaves the folder"
    if not any(part not in ("", ".") for part in parts) or parts[-1] in ("", "."):
        return "which names no file"
    if len(path.encode()) > _MOST_BYTES_OF_A_PATH:
        return f"a path of {len(path.encode())} bytes, where file systems take {_MOST_BYTES_OF_A_PATH} at most"
    longest = max(len(part.encode()) for part in parts)
    if longest > _MOST_BYTES_OF_A_NAME:
        return f"a name of {longest} bytes, where file systems take {_MOST_BYTES_OF_A_NAME} at most"
    return None


def _paths(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """Every path that is set, by the field that holds it."""
    if config.default_model_filename:
        yield "default_model_filename", config.default_model_filename
    for capability, path in config.cc_model_filenames.items():
        yield f'cc_model_filenames["{capability}"]', path
    for index, output in enumerate(config.output):
        if output.label_filename:
            yield f"output[{index}].label_filename", output.label_filename
    for index, warmup in enumerate(config.model_warmup):
        for name, tensor in warmup.inputs.items():
            if tensor.input_data_file:
                yield f'model_warmup[{index}].inputs["{name}"].value.input_data_file', tensor.input_data_file
    for index, state in enumerate(config.sequence_batching.state):
        for at, initial in enumerate(state.initial_state):
            if initial.data_file:
                yield f"sequence_batching.state[{index}].initial_state[{at}].data_file", initial.data_file


def _label_file(field: str, name: str, folder: ModelFolder, report: Report) -> None:
    what = not_a_file(folder.path / name)
    if what is not None:
        report.add(
            field,
            f"'{name}', which is {what}" if what != "missing" else f"'{name}', which is not in {folder.path}",
            "a text file with one class name a line",
            "put the file there, or remove label_filename",
            edits=report.removing(field),
        )
