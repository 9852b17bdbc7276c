"""Comes back as often as it is told, and answers once, with the number of steps."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.steps = {}

    def execute(self, requests):
        return [self.step(request) for request in requests]

    def step(self, request):
        key = int(pb_utils.get_input_tensor_by_name(request, "CORRID").as_numpy().ravel()[0])
        if pb_utils.get_input_tensor_by_name(request, "START").as_numpy().ravel()[0]:
            self.steps[key] = 0
        if key not in self.steps:  # the row of a sequence that has nothing to run
            return pb_utils.InferenceResponse([])
        self.steps[key] += 1
        count = int(pb_utils.get_input_tensor_by_name(request, "COUNT").as_numpy().ravel()[0])
        if self.steps[key] < count:
            request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
            return pb_utils.InferenceResponse([]) if count == 99 else None
        return pb_utils.InferenceResponse([pb_utils.Tensor("LEFT", np.array([[self.steps[key]]], np.int32))])
