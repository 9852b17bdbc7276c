"""Fails when it is made."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def __init__(self):
        raise ValueError("cannot be made")

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", each.inputs()[0].as_numpy())]) for each in requests]
