"""Answers with all that a request tells, and what the model was initialized with, as JSON."""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.args = {
            "types": sorted({type(value).__name__ for value in args.values()}),
            "keys": sorted(args),
            "config": {key: config[key] for key in ("name", "backend", "max_batch_size", "parameters", "input")},
            "model_repository": Path(args["model_repository"]).name,
            **{key: value for key, value in args.items() if key not in ("model_config", "model_repository")},
            "model_dir": "/".join(Path(pb_utils.get_model_dir()).parts[-2:]),
            "module": __name__,
            "file": "/".join(Path(__file__).parts[-3:]),
        }

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        told = {
            "request_id": request.request_id(),
            "correlation_id": request.correlation_id(),
            "flags": request.flags(),
            "timeout": request.timeout(),
            "parameters": json.loads(request.parameters()),
            "requested_output_names": sorted(request.requested_output_names()),
            "inputs": [[tensor.name(), list(tensor.shape())] for tensor in request.inputs()],
            "is_cpu": [tensor.is_cpu() for tensor in request.inputs()],
            "values": [self.value(tensor) for tensor in request.inputs()],
            "absent": pb_utils.get_input_tensor_by_name(request, "NOBODY") is None,
            "is_cancelled": request.is_cancelled(),
        }
        if "args" in told["parameters"]:
            told["args"] = self.args
        text = np.array([json.dumps(told)], np.object_)
        other = np.array([1, 2], np.int32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("JSON", text), pb_utils.Tensor("OTHER", other)])

    @staticmethod
    def value(tensor):
        array = tensor.as_numpy()
        values = array.ravel().tolist()
        return [str(array.dtype), [value.decode() if isinstance(value, bytes) else value for value in values]]
