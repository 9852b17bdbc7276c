"""Counts down, a response for each step."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.left = {}

    def execute(self, requests):
        for request in requests:
            key = int(pb_utils.get_input_tensor_by_name(request, "CORRID").as_numpy().ravel()[0])
            if pb_utils.get_input_tensor_by_name(request, "START").as_numpy().ravel()[0]:
                self.left[key] = int(pb_utils.get_input_tensor_by_name(request, "COUNT").as_numpy().ravel()[0])
            sender = request.get_response_sender()
            if key not in self.left:  # the row of a sequence that has nothing to run
                sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                continue
            self.left[key] -= 1
            left = self.left[key]
            response = pb_utils.InferenceResponse([pb_utils.Tensor("LEFT", np.array([[left]], np.int32))])
            if left > 0:
                request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
                sender.send(response)
            else:
                sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
