"""A model's counters, number by number, as the statistics extension shows them."""

import time

import numpy as np

from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.request import FailureReason, InferenceRequest


def stamped(batch_size: int = 1) -> InferenceRequest:
    request = InferenceRequest("m", {"x": np.zeros((batch_size, 1))})
    request.batch_size = batch_size
    request.arrival_ns, request.queue_ns = 1_000, 1_010
    request.compute_start_ns, request.compute_input_end_ns = 1_110, 2_110
    request.compute_output_start_ns, request.compute_end_ns = 12_110, 112_110
    return request


def test_each_request_is_charged_its_own_times_by_its_stamps():
    statistics = InferenceStatistics()
    before = time.time_ns() // 1_000_000
    for batch_size in (1, 3):
        statistics.success(stamped(batch_size), end_ns=1_001_000)
    statistics.failure(stamped(), FailureReason.REJECTED, end_ns=1_500)
    message = statistics.to_message("m", "2")
    assert (message.name, message.version) == ("m", "2")
    assert before <= message.last_inference <= time.time_ns() // 1_000_000
    assert (message.inference_count, message.execution_count) == (4, 0)
    shown = {field.name: (value.count, value.ns) for field, value in message.inference_stats.ListFields()}
    assert shown == {
        "success": (2, 2_000_000),
        "fail": (1, 500),
        "queue": (2, 200),
        "compute_input": (2, 2_000),
        "compute_infer": (2, 20_000),
        "compute_output": (2, 200_000),
        "cache_hit": (0, 0),
        "cache_miss": (0, 0),
    }
    assert statistics.failure_count == {"REJECTED": 1, "CANCELED": 0, "BACKEND": 0, "OTHER": 0}


def test_executions_are_counted_by_batch_size():
    statistics = InferenceStatistics()
    statistics.record_execution(4, 1, 20, 300)
    statistics.record_execution(1, 5, 6, 7)
    statistics.record_execution(4, 1, 20, 300)
    message = statistics.to_message("m", "1")
    assert message.execution_count == 3
    shown = [
        (
            batch.batch_size,
            *((part.count, part.ns) for part in (batch.compute_input, batch.compute_infer, batch.compute_output)),
        )
        for batch in message.batch_stats
    ]
    assert shown == [(1, (1, 5), (1, 6), (1, 7)), (4, (2, 2), (2, 40), (2, 600))]


def test_a_model_that_was_never_asked_has_every_counter_and_no_batch():
    message = InferenceStatistics().to_message("m", "1")
    assert (message.last_inference, message.inference_count, message.execution_count) == (0, 0, 0)
    assert {(value.count, value.ns) for _, value in message.inference_stats.ListFields()} == {(0, 0)}
    assert len(message.inference_stats.ListFields()) == 8
    assert not message.batch_stats
