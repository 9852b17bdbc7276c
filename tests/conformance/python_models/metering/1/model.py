"""Counts in metrics of its own what it is sent."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.families = [
            pb_utils.MetricFamily(name="recorded_requests", description="Requests", kind=pb_utils.MetricFamily.COUNTER),
            pb_utils.MetricFamily(name="recorded_level", description="Level", kind=pb_utils.MetricFamily.GAUGE),
        ]
        self.counter = self.families[0].Metric(labels={"model": "metering", "version": "1"})
        self.other = self.families[0].Metric(labels={"model": "other", "version": "1"})
        self.gauge = self.families[1].Metric(labels={})

    def execute(self, requests):
        responses = []
        for request in requests:
            by = float(pb_utils.get_input_tensor_by_name(request, "BY").as_numpy()[0])
            self.counter.increment(by)
            self.gauge.set(10)
            self.gauge.increment(-by)
            values = np.array([self.counter.value(), self.gauge.value()])
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("VALUES", values)]))
        return responses
