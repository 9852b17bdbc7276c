"""Runs ONNX files with ONNX Runtime, on the CPU or through its CUDA provider."""

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Placement
from tcli_server.backends.onnx_graph import read_signature
from tcli_server.errors import InternalError, InvalidArgumentError, UnsupportedError
from tcli_server.hardware.gpu import gpu_count
from tcli_server.signature import ModelSignature

# Released builds may write usage events to a database in the user's cache folder; a server has no business there.
ort.disable_telemetry_events()

# `optimization.graph.level` as Triton's ONNX Runtime backend maps it; every other value means all optimizations.
_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


class OnnxRuntimeInstance:
    """One ONNX Runtime session with a thread pool of its own."""

    def __init__(self, session: ort.InferenceSession, run_options: ort.RunOptions | None) -> None:
        self._session = session
        self._run_options = run_options
        self._string_inputs = frozenset(node.name for node in session.get_inputs() if node.type == "tensor(string)")
        self._string_outputs = frozenset(node.name for node in session.get_outputs() if node.type == "tensor(string)")
        nodes = [*session.get_inputs(), *session.get_outputs()]
        self._has_bfloat16 = any(node.type == "tensor(bfloat16)" for node in nodes)

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        if self._string_inputs:
            inputs = {name: _to_text(name, a) if name in self._string_inputs else a for name, a in inputs.items()}
        try:
            if self._has_bfloat16:
                return self._run_values(inputs, outputs)
            arrays: list[np.ndarray] = self._session.run(outputs, inputs, self._run_options)
        except Exception as error:  # ONNX Runtime raises classes of its own, one a status code
            raise InternalError(f"onnx runtime error: {error}") from error
        if self._string_outputs:
            return [
                _to_bytes(array) if name in self._string_outputs else array
                for name, array in zip(outputs, arrays, strict=True)
            ]
        return arrays

    def _run_values(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """numpy has no bfloat16 that ONNX Runtime knows, so such tensors pass as OrtValues over their 16-bit words."""
        values = {name: _to_value(array) for name, array in inputs.items()}
        return [_from_value(value) for value in self._session.run_with_ort_values(outputs, values, self._run_options)]

    def close(self) -> None:
        del self._session


def _to_text(name: str, array: np.ndarray) -> np.ndarray:
    text = np.empty(array.shape, np.object_)
    try:
        text.ravel()[:] = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"input '{name}': ONNX string tensors hold UTF-8 text, and {error}") from None
    return text


def _to_bytes(array: np.ndarray) -> np.ndarray:
    encoded = np.empty(array.shape, np.object_)
    encoded.ravel()[:] = [str(item).encode() for item in array.ravel()]
    return encoded


def _to_value(array: np.ndarray) -> ort.OrtValue:
    if array.dtype == ml_dtypes.bfloat16:
        words = np.ascontiguousarray(array).view(np.uint16)
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(words, TensorProto.BFLOAT16)
    return ort.OrtValue.ortvalue_from_numpy(array)


def _from_value(value: ort.OrtValue) -> np.ndarray:
    if value.data_type() != "tensor(bfloat16)":
        array: np.ndarray = value.numpy()
        return array
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(raw, ml_dtypes.bfloat16).reshape(value.shape())


class OnnxRuntimeBackend:
    """Makes instances of ONNX models."""

    name = "onnxruntime"

    def read_signature(self, model_file: Path) -> ModelSignature:
        return read_signature(model_file)

    def runs_on_gpu(self) -> bool:
        return gpu_count() > 0 and _cuda_starts()

    def create_instance(self, config: ModelConfig, model_file: Path, placement: Placement) -> OnnxRuntimeInstance:
        providers: list[Any] = ["CPUExecutionProvider"]
        if placement.gpu is not None:
            providers.insert(0, ("CUDAExecutionProvider", _cuda_options(config, placement.gpu)))
            _preload_cuda_libraries()
        try:
            session = ort.InferenceSession(str(model_file), _session_options(config, placement), providers=providers)
        except Exception as error:
            raise InvalidArgumentError(f"failed to load {model_file}: {error}") from error
        if placement.gpu is not None and "CUDAExecutionProvider" not in session.get_providers():
            # ONNX Runtime only logs this and goes on with the CPU.
            raise UnsupportedError(
                f"instance {placement.name}: KIND_GPU is asked for, but ONNX Runtime's CUDA provider could not start. "
                'Fix: install the CUDA libraries (pip install "tcli[cuda]") or use kind: KIND_CPU'
            )
        return OnnxRuntimeInstance(session, _run_options(config))


def _session_options(config: ModelConfig, placement: Placement) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # 0 is ONNX Runtime's own default, a pool as wide as the machine, which is what multiplies threads by instances.
    options.intra_op_num_threads = _number(config, "intra_op_thread_count") or placement.threads
    options.inter_op_num_threads = _number(config, "inter_op_thread_count") or 1
    if _number(config, "execution_mode"):
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = bool(_number(config, "enable_mem_arena", 1))
    options.enable_mem_pattern = bool(_number(config, "enable_mem_pattern", 1))
    for key, value in config.parameters.items():
        if key.startswith("session."):  # ONNX Runtime's own names for what has no field
            options.add_session_config_entry(key, value.string_value)
    level = config.optimization.graph.level
    options.graph_optimization_level = _GRAPH_LEVELS.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    return options


def _run_options(config: ModelConfig) -> ort.RunOptions | None:
    key = "memory.enable_memory_arena_shrinkage"
    if key not in config.parameters:
        return None
    options = ort.RunOptions()
    options.add_run_config_entry(key, config.parameters[key].string_value)
    return options


def _number(config: ModelConfig, key: str, default: int = 0) -> int:
    if key not in config.parameters:
        return default
    text = config.parameters[key].string_value
    try:
        return int(text)
    except ValueError:
        raise InvalidArgumentError(
            f"model '{config.name}': parameters['{key}'].string_value: found '{text}', expected a whole number"
        ) from None


def _cuda_options(config: ModelConfig, gpu: int) -> dict[str, str]:
    options = {"device_id": str(gpu)}
    for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator:
        if accelerator.name == "cuda":
            options.update(accelerator.parameters)
    return options


def _preload_cuda_libraries() -> None:
    """Find CUDA and cuDNN where pip put them; ONNX Runtime looks only on the library path by itself."""
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()


@cache
def _cuda_starts() -> bool:
    """Try it: ONNX Runtime lists the CUDA provider as available even where its libraries are missing."""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return False
    _preload_cuda_libraries()
    tensor = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("X", "Y")]
    graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "probe", tensor[:1], tensor[1:])
    probe = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CUDAExecutionProvider"])
    return "CUDAExecutionProvider" in session.get_providers()
