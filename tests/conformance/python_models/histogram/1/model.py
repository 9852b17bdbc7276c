"""Observes what it is sent in a histogram."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        kind = pb_utils.MetricFamily.HISTOGRAM
        self.family = pb_utils.MetricFamily(name="recorded_sizes", description="Sizes", kind=kind)
        self.metric = self.family.Metric(labels={"unit": "cm"}, buckets=[0.5, 2, 10])

    def execute(self, requests):
        responses = []
        for request in requests:
            seen = pb_utils.get_input_tensor_by_name(request, "SEEN").as_numpy()
            for value in seen.tolist():
                self.metric.observe(value)
            count = np.array([seen.size], np.int32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("COUNT", count)]))
        return responses
