"""TensorRT's runtime for plans that are JSON: tensors, profiles, and an expression in numpy for each output."""

import ctypes
import enum
import json
import math

import ml_dtypes
import numpy as np
from cuda.bindings import runtime as cudart

__version__ = "10.16.1.11"

DataType = enum.Enum("DataType", "FLOAT HALF BF16 INT8 UINT8 INT32 INT64 BOOL FP8 INT4")
TensorIOMode = enum.Enum("TensorIOMode", "NONE INPUT OUTPUT")
TensorLocation = enum.Enum("TensorLocation", "DEVICE HOST")
TensorFormat = enum.Enum("TensorFormat", "LINEAR CHW32")
ExecutionContextAllocationStrategy = enum.Enum(
    "ExecutionContextAllocationStrategy", "STATIC ON_PROFILE_CHANGE USER_MANAGED"
)
Severity = enum.Enum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE")

_DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}


read_on: list[int] = []
"""The DLA core of each engine that was read, -1 for the GPU."""


class ILogger:
    def __init__(self) -> None:
        self.begun = True

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class IOutputAllocator:
    def __init__(self) -> None:
        self.begun = True


class _Registry:
    def load_library(self, library: str) -> object | None:
        if library.endswith(".so"):
            return object()
        return None


def get_plugin_registry() -> _Registry:
    return _Registry()


def init_libnvinfer_plugins(logger: ILogger, namespace: str) -> bool:
    assert logger.begun
    assert namespace == ""
    return True


class Runtime:
    num_DLA_cores = 2

    def __init__(self, logger: ILogger) -> None:
        assert logger.begun
        self.logger = logger
        self.DLA_core = -1
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, content: bytes) -> "ICudaEngine | None":
        if not content.startswith(b"ftrt"):
            self.logger.log(Severity.ERROR, "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (magic)")
            return None
        plan = json.loads(content[4:])
        if plan["version"] != __version__ and not self.engine_host_code_allowed:
            self.logger.log(
                Severity.ERROR,
                "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan file is not compatible "
                f"with this version of TensorRT, expecting library version {__version__} got\n {plan['version']})",
            )
            return None
        read_on.append(self.DLA_core)
        return ICudaEngine(self, plan)


class ICudaEngine:
    def __init__(self, runtime: Runtime, plan: dict) -> None:
        self.runtime = runtime
        self.plan = plan
        self.tensors = {tensor["name"]: tensor for tensor in plan["tensors"]}

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    @property
    def num_optimization_profiles(self) -> int:
        return max(1, len(self.plan["profiles"]))

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self.tensors[name]["dtype"]]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.OUTPUT if name in self.plan["program"] else TensorIOMode.INPUT

    def get_tensor_shape(self, name: str) -> list[int]:
        return self.tensors[name]["shape"]

    def get_tensor_format(self, name: str) -> TensorFormat:
        return TensorFormat[self.tensors[name].get("format", "LINEAR")]

    def get_tensor_format_desc(self, name: str) -> str:
        return f"Thirty-two wide channel vectorized row major format ({name})"

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation.HOST if self.tensors[name].get("host") else TensorLocation.DEVICE

    def is_shape_inference_io(self, name: str) -> bool:
        return bool(self.tensors[name].get("is_shape"))

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[list[int]]:
        assert self.get_tensor_mode(name) == TensorIOMode.INPUT
        if not self.plan["profiles"]:
            return [self.tensors[name]["shape"]] * 3
        return self.plan["profiles"][profile_index]["shapes"].get(name) or [self.tensors[name]["shape"]] * 3

    def get_tensor_profile_values(self, profile_index: int, name: str) -> list[list[int]]:
        return self.plan["profiles"][profile_index].get("values", {}).get(name, [])

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC
    ) -> "IExecutionContext":
        assert strategy != ExecutionContextAllocationStrategy.USER_MANAGED
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self.engine = engine
        self.profile = 0
        self.shapes = {name: tensor["shape"] for name, tensor in engine.tensors.items()}
        self.addresses: dict[str, int] = {}
        self.allocators: dict[str, IOutputAllocator] = {}

    def _error(self, message: str) -> bool:
        self.engine.runtime.logger.log(Severity.ERROR, message)
        return False

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        cudart.enqueue(stream_handle, lambda: None)
        if profile_index >= self.engine.num_optimization_profiles:
            return self._error("no such profile")
        self.profile = profile_index
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, most = self.engine.get_tensor_profile_shape(name, self.profile)
        if len(shape) != len(most) or not all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True)):
            return self._error(f"{name}: {shape} is outside of profile {self.profile}")
        self.shapes[name] = list(shape)
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert memory
        self.addresses[name] = memory
        return True

    def set_output_allocator(self, name: str, output_allocator: IOutputAllocator) -> bool:
        assert output_allocator.begun
        self.allocators[name] = output_allocator
        return True

    def _inputs(self) -> list[str]:
        return [name for name in self.engine.tensors if name not in self.engine.plan["program"]]

    def infer_shapes(self) -> list[str]:
        return [
            name
            for name in self._inputs()
            if -1 in self.shapes[name] or (self.engine.is_shape_inference_io(name) and name not in self.addresses)
        ]

    def get_tensor_shape(self, name: str) -> list[int]:
        if name not in self.engine.plan["program"] or self.engine.tensors[name].get("depends_on_values"):
            return self.shapes[name]
        known = {one: self._read(one, self.engine.is_shape_inference_io(one)) for one in self._inputs()}
        return list(self._compute(name, known).shape)

    def _read(self, name: str, really: bool = True) -> np.ndarray:
        dtype, shape = np.dtype(_DTYPES[self.engine.tensors[name]["dtype"]]), self.shapes[name]
        if not really:
            return np.zeros(shape, dtype)
        size = math.prod(shape) * dtype.itemsize
        if not self.engine.tensors[name].get("host"):
            cudart.check_on_device(self.addresses[name], size)
        return np.frombuffer(ctypes.string_at(self.addresses[name], size), dtype).reshape(shape)

    def _compute(self, name: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
        dtype = _DTYPES[self.engine.tensors[name]["dtype"]]
        return np.ascontiguousarray(eval(self.engine.plan["program"][name], {"np": np, **inputs})).astype(dtype)

    def execute_async_v3(self, stream_handle: int) -> bool:
        if self.infer_shapes():
            return self._error("shapes or addresses are missing")
        for name in self.engine.tensors:
            if name not in self.addresses and name not in self.allocators:
                return self._error(f"Neither address or allocator is set for {name}")
        if "fails" in self.engine.plan:
            return self._error(self.engine.plan["fails"])
        allocated = {}
        if self.allocators:  # how much memory they want has to be known, so what is before is waited for
            cudart.cudaStreamSynchronize(stream_handle)
            inputs = {name: self._read(name) for name in self._inputs()}
            for name, allocator in self.allocators.items():
                size = max(1, self._compute(name, inputs).nbytes)
                allocated[name] = allocator.reallocate_output_async(name, 0, size, 256, stream_handle)
        cudart.enqueue(stream_handle, lambda: self._work(allocated))
        return True

    def _work(self, allocated: dict[str, int]) -> None:
        inputs = {name: self._read(name) for name in self._inputs()}
        for name in self.engine.plan["program"]:
            answer = self._compute(name, inputs)
            address = allocated.get(name) or self.addresses[name]
            if name in self.allocators:
                self.allocators[name].notify_shape(name, list(answer.shape))
            if not self.engine.tensors[name].get("host"):
                cudart.check_on_device(address, answer.nbytes)
            ctypes.memmove(address, answer.tobytes(), answer.nbytes)
