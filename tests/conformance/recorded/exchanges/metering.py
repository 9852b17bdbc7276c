"""Metrics of a model's own."""

from conformance.recorded.kinds import Infer, Metrics
from conformance.recorded.wire import Request, Tensor

EXCHANGES = [
    Metrics("before", "recorded_requests"),
    Infer("counted", Request("metering", (Tensor("BY", "FP64", (1,), (2.5,)),))),
    Metrics("counter", "recorded_requests"),
    Metrics("gauge", "recorded_level"),
    Infer("observed", Request("histogram", (Tensor("SEEN", "FP64", (4,), (0.1, 1, 2, 50)),))),
    Metrics("histogram", "recorded_sizes"),
]
