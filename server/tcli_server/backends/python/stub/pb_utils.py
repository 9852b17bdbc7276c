"""`import triton_python_backend_utils as pb_utils` in a model: everything that Triton's module has."""

from __future__ import annotations

from typing import Any

from .errors import TritonError, TritonModelException
from .model_config import ModelConfig
from .requests import InferenceRequest
from .responses import COMPLETE_FINAL, InferenceResponse, InferenceResponseSender
from .tensor import Tensor

TRITONSERVER_RESPONSE_COMPLETE_FINAL = COMPLETE_FINAL
TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
TRITONSERVER_REQUEST_RELEASE_ALL = 1
TRITONSERVER_REQUEST_RELEASE_RESCHEDULE = 2

_model_dir = ""


def set_model_dir(path: str) -> None:
    global _model_dir
    _model_dir = path


def get_model_dir() -> str:
    return _model_dir


def get_input_tensor_by_name(request: Any, name: str) -> Any:
    return next((tensor for tensor in request.inputs() if tensor.name() == name), None)


def get_output_tensor_by_name(response: Any, name: str) -> Any:
    return next((tensor for tensor in response.output_tensors() if tensor.name() == name), None)


def triton_string_to_numpy(name: str) -> Any:
    import numpy as np

    return {"TYPE_FP32": np.float32, "TYPE_INT32": np.int32, "TYPE_STRING": np.object_}[name]


__all__ = [
    "InferenceRequest",
    "InferenceResponse",
    "InferenceResponseSender",
    "ModelConfig",
    "Tensor",
    "TritonError",
    "TritonModelException",
]
