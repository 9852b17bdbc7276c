"""Imports what nobody has."""

import nobody_has_this_module  # noqa: F401
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    pass

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", each.inputs()[0].as_numpy())]) for each in requests]
