"""Opens PyTorch's files."""

import threading
import weakref
from functools import cache
from pathlib import Path

import torch
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Placement, Surroundings
from tcli_server.backends.complaint import Complaint, parameter_complaints
from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.pytorch import parameters
from tcli_server.backends.pytorch.archive import Format, read_format
from tcli_server.backends.pytorch.compiled import load_compiled
from tcli_server.backends.pytorch.exported import load_exported
from tcli_server.backends.pytorch.instance import PyTorchInstance, Settings
from tcli_server.backends.pytorch.kind import PYTORCH
from tcli_server.backends.pytorch.naming import Names, read_names
from tcli_server.backends.pytorch.program import Program
from tcli_server.backends.pytorch.script import load_script
from tcli_server.datatypes import BY_CONFIG_TYPE
from tcli_server.hardware.gpu import gpu_count

_LOADERS = {Format.SCRIPT: load_script, Format.EXPORTED: load_exported, Format.COMPILED: load_compiled}


class PyTorchBackend(Backend):
    """Makes instances of TorchScript files, exported programs and compiled ones; the file tells which it is."""

    kind = PYTORCH

    def __init__(self) -> None:
        self._shared: weakref.WeakValueDictionary[object, Program] = weakref.WeakValueDictionary()
        self._sharing = threading.Lock()

    def complaints(self, config: ModelConfig) -> list[Complaint]:
        """As `Backend.complaints`."""
        return parameter_complaints(config, parameters.KNOWN, self.kind.name)

    def runs_on_gpu(self) -> bool:
        """As `Backend.runs_on_gpu`."""
        return gpu_count() > 0 and _cuda_starts()

    def thread_count(self, config: ModelConfig, placement: Placement) -> int:
        """As `Backend.thread_count`."""
        return parameters.thread_count(config, placement)

    def open(
        self,
        config: ModelConfig,
        model_file: Path,
        placement: Placement,
        surroundings: Surroundings,  # noqa: ARG002
    ) -> PyTorchInstance:
        """As `Backend.open`.

        Raises:
            ModelFileError: the file is no model of PyTorch's, or one that does not fit its configuration.
        """
        device = torch.device("cuda", placement.gpu) if placement.gpu is not None else torch.device("cpu")
        parameters.apply_to_the_process(config)
        program = self._program(config, model_file, None if placement.by_model else device)
        names = read_names(config, program)
        _check_strings(config, model_file, program, names)
        settings = Settings(
            device if device.type != "cpu" else None,
            parameters.thread_count(config, placement),
            parameters.switch(config, parameters.INFERENCE_MODE, True),
            not parameters.switch(config, parameters.UNOPTIMIZED),
            device.type != "cpu" and any(parameters.switch(config, key) for key in parameters.CACHE_CLEANING),
            config.max_batch_size > 0,
            _output_types(config, names),
        )
        return PyTorchInstance(program, names, settings)

    def _program(self, config: ModelConfig, model_file: Path, device: torch.device | None) -> Program:
        load = _LOADERS[read_format(model_file)]
        if not parameters.switch(config, parameters.SHARED_WEIGHTS):
            return load(model_file, device)
        about = model_file.stat()
        key = (str(model_file), about.st_ino, about.st_size, about.st_mtime_ns, str(device))
        with self._sharing:
            program = self._shared.get(key)
            if program is None:
                program = self._shared[key] = load(model_file, device)
            return program


def _output_types(config: ModelConfig, names: Names) -> dict[str, str]:
    """Output -> the type that it must have: by the configuration, else by the file, which then completes it."""
    types = {tensor.name: tensor.datatype for tensor in names.signature.outputs}
    listed = [(output.name, output.data_type) for output in config.output]
    listed += [(state.output_name, state.data_type) for state in config.sequence_batching.state]
    types.update((name, BY_CONFIG_TYPE[kind].name) for name, kind in listed if kind in BY_CONFIG_TYPE)
    return types


def _check_strings(config: ModelConfig, model_file: Path, program: Program, names: Names) -> None:
    """Whether inputs of strings are such in the model: a tensor cannot hold any.

    Raises:
        ModelFileError: one is not.
    """
    for item in config.input:
        key = names.inputs.get(item.name)
        is_text = item.data_type in BY_CONFIG_TYPE and BY_CONFIG_TYPE[item.data_type].name == "BYTES"
        if is_text and (isinstance(key, str) or (key is not None and not program.inputs[key].strings)):
            found = f"a model whose input '{item.name}' is a Tensor"
            fix = "write the tensor's data_type, or export a forward that takes List[str]"
            raise ModelFileError(model_file, f"List[str] for '{item.name}', as data_type is TYPE_STRING", found, fix)


@cache
def _cuda_starts() -> bool:
    return bool(torch.cuda.is_available())
