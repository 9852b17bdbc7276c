"""Numbers of a measurement that can be worked out by hand, and which of them budgets and objectives look at."""

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.goal import Goal, Objective
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.point import Point
from tcli_analyzer.resources import GpuUse
from tcli_analyzer.results import Sample, Stage, point_row
from tcli_analyzer.target import Counters

COUNTERS = Counters(10, 40, 8, 10_000_000, 20_000_000, 50_000_000, 5_000_000)
"""10 requests of 4 items in 8 batches; 1, 2, 5 and 0.5 ms a request."""


def with_latencies(milliseconds: list[float], seconds: float = 2.0) -> Windows:
    """Only one window, which has these latencies."""
    counters = Counters(len(milliseconds), len(milliseconds), len(milliseconds))
    return Windows((Window(0.0, seconds, np.array(milliseconds), counters),))


SLOW_END = [10.0] * 960 + [50.0] * 40
"""p95 is 10, p99 is 50."""


def test_the_budget_is_one_for_p99():
    windows = with_latencies(SLOW_END)
    assert windows.latency_ms(0.95) == 10
    assert windows.latency_ms(0.99) == 50
    assert not Goal(latency_budget_ms=20).allows(windows)
    assert not Goal(latency_budget_ms=49.9).allows(windows)
    assert Goal(latency_budget_ms=50).allows(windows)


def test_the_slowest_of_many_may_exceed_the_budget():
    assert Goal(latency_budget_ms=20).allows(with_latencies([10.0] * 999 + [500.0]))


def test_a_budget_is_not_said_to_be_kept_by_requests_that_are_too_few():
    few = with_latencies([10.0] * 100)
    assert Goal(latency_budget_ms=20).keeps(few) is None
    assert Goal(latency_budget_ms=20).allows(few)
    assert Goal(latency_budget_ms=20).keeps(with_latencies([10.0] * 1000)) is True
    assert Goal(latency_budget_ms=5).keeps(few) is False
    assert Goal().keeps(few) is True


def test_the_lowest_latency_is_that_of_p99():
    assert Goal(Objective.LATENCY).value(with_latencies(SLOW_END)) == pytest.approx(1000 / 50)
    assert Goal().value(with_latencies(SLOW_END)) == 500


def test_every_column_has_the_number_of_its_name():
    latencies = [float(number) for number in range(1, 102)]  # percentiles of 1..101 are whole numbers
    gpu = [GpuUse(20, 1000), GpuUse(40, 3000)]
    quiet = ProcessorTime(own=1.01, wait=0.0, other=1.0, steal=0.0)
    busy = ProcessorTime(own=1.0, wait=1.0, other=1.0, steal=0.0)
    windows = [
        Window(0.0, 2.0, np.array(latencies), COUNTERS, quiet, memory, use)
        for memory, use in zip((200.0, 100.0), gpu, strict=True)
    ]
    disturbed = Window(0.0, 9.0, np.array([500.0]), COUNTERS, busy, 900.0)
    point = Point(Configuration("one", 4, 2, ModelConfig()), ClosedLoad(8), Windows((*windows, disturbed)))
    row = point_row(Sample(Stage.SEARCH, point), Goal(latency_budget_ms=90), "m")
    expected = {
        "stage": "search",
        "name": "m_defaults",
        "configuration": "one",
        "current": False,
        "max_batch_size": 4,
        "instances": 2,
        "engine": "",
        "provider": "",
        "precision": "",
        "threads": None,
        "queue_delay_us": 0,
        "preferred_batch_sizes": "",
        "graph_level": 0,
        "concurrency": 8,
        "request_rate": None,
        "arrivals": "",
        "batch_size": 1,
        "throughput_infer_per_s": 50.5,
        "latency_avg_ms": 51,
        "latency_p50_ms": 51,
        "latency_p90_ms": 91,
        "latency_p95_ms": 96,
        "latency_p99_ms": 100,
        "latency_p99_low_ms": None,
        "latency_p99_high_ms": None,
        "independent_requests": row["independent_requests"],
        "queue_ms": 1,
        "compute_input_ms": 2,
        "compute_infer_ms": 5,
        "compute_output_ms": 0.5,
        "other_ms": 42.5,
        "executed_batch_avg": 5,
        "cpu_ms_per_inference": 10,
        "lost_processor_share": 0,
        "memory_mib": 200,
        "gpu_utilization_percent": 30,
        "gpu_memory_mib": 3000,
        "requests": 202,
        "seconds": 4,
        "began": "1970-01-01T00:00:00.000+00:00",
        "ended": "1970-01-01T00:00:09.000+00:00",
        "windows": 3,
        "clean_windows": 2,
        "overloaded": False,
        "flaw": "",
        "counts": True,
        "within_latency_budget": False,
        "accuracy_verdict": "",
        "accuracy_largest_relative": None,
        "accuracy_top1_low": None,
        "equivalent_to_recommended": False,
        "recommended": False,
        "same_as_configurations": "",
    }
    assert row == {
        name: value if isinstance(value, str | bool | None) else pytest.approx(value)
        for name, value in expected.items()
    }


def test_counters_are_subtracted_and_added_field_by_field():
    one = Counters(1, 2, 3, 4, 5, 6, 7)
    assert COUNTERS - one == Counters(9, 38, 5, 9_999_996, 19_999_995, 49_999_994, 4_999_993)
    assert COUNTERS - one + one == COUNTERS
