"""Numbers of a measurement that can be worked out by hand, and which of them budgets and objectives look at."""

from dataclasses import replace

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.measurement import Measurement, Window
from tcli_analyzer.recommendation import Goal, Objective, Point, recommend
from tcli_analyzer.resources import GpuUse, Usage
from tcli_analyzer.results import point_row
from tcli_analyzer.target import Counters

COUNTERS = Counters(10, 40, 8, 10_000_000, 20_000_000, 50_000_000, 5_000_000)
"""10 requests of 4 items in 8 batches; 1, 2, 5 and 0.5 ms a request."""


def with_latencies(milliseconds: list[float], seconds: float = 2.0, label: str = "one") -> Point:
    """A point whose only window has these latencies."""
    counters = Counters(len(milliseconds), len(milliseconds), len(milliseconds))
    window = Window(seconds, np.array(milliseconds), counters, Usage(1.0, 0.5, 100.0, None))
    return Point(Configuration(label, 4, 1, ModelConfig()), 8, Measurement((window,), 1, stable=True))


SLOW_END = [10.0] * 96 + [50.0] * 4
"""p95 is 10, p99 is 50."""


def test_the_budget_is_one_for_p99():
    point = with_latencies(SLOW_END)
    assert point.measurement.latency_ms(95) == 10
    assert point.measurement.latency_ms(99) == 50
    assert not Goal(latency_budget_ms=20).allows(point)
    assert not Goal(latency_budget_ms=49.9).allows(point)
    assert Goal(latency_budget_ms=50).allows(point)
    assert not recommend([point], Goal(latency_budget_ms=20)).within_budget


def test_the_slowest_of_many_may_exceed_the_budget():
    point = with_latencies([10.0] * 999 + [500.0])
    assert Goal(latency_budget_ms=20).allows(point)


def test_the_lowest_latency_is_that_of_p99():
    steady, fast = with_latencies([20.0] * 100, label="steady"), with_latencies(SLOW_END, label="fast at p95")
    assert recommend([fast, steady], Goal(Objective.LATENCY)).chosen is steady
    assert Goal(Objective.LATENCY).value(fast) == 50


def test_a_gain_in_latency_is_what_falls_away():
    better, worse = with_latencies([10.0] * 100), with_latencies([40.0] * 100)
    assert Goal(Objective.LATENCY).gain(better, worse) == pytest.approx(0.75)
    assert Goal(Objective.LATENCY).gain(worse, better) == pytest.approx(-3)
    assert Goal().gain(with_latencies([1.0] * 30), with_latencies([1.0] * 20)) == pytest.approx(0.5)


def test_every_column_has_the_number_of_its_name():
    latencies = [float(number) for number in range(1, 102)]  # percentiles of 1..101 are whole numbers
    counters = replace(COUNTERS)
    gpu = [GpuUse(20, 1000), GpuUse(40, 3000)]
    windows = tuple(
        Window(2.0, np.array(latencies), counters, Usage(1.0, 3.0, memory, use))
        for memory, use in zip((200.0, 100.0), gpu, strict=True)
    )
    point = Point(Configuration("one", 4, 2, ModelConfig()), 8, Measurement(windows, 5, stable=False))
    row = point_row(point, Goal(latency_budget_ms=99), None)
    expected = {
        "configuration": "one",
        "current": False,
        "max_batch_size": 4,
        "instances": 2,
        "concurrency": 8,
        "throughput_infer_per_s": 50.5,
        "latency_avg_ms": 51,
        "latency_p50_ms": 51,
        "latency_p90_ms": 91,
        "latency_p95_ms": 96,
        "latency_p99_ms": 100,
        "queue_ms": 1,
        "compute_input_ms": 2,
        "compute_infer_ms": 5,
        "compute_output_ms": 0.5,
        "other_ms": 42.5,
        "executed_batch_avg": 5,
        "cpu_percent": 50,
        "other_processes_cpu_percent": 150,
        "memory_mib": 200,
        "gpu_utilization_percent": 30,
        "gpu_memory_mib": 3000,
        "requests": 202,
        "seconds": 4,
        "windows": 5,
        "stable": False,
        "throughput_spread_percent": 0,
        "latency_p99_spread_percent": 0,
        "within_latency_budget": False,
        "equivalent_to_best": False,
        "recommended": False,
        "same_as_configurations": "",
    }
    assert row == {
        name: value if isinstance(value, str | bool) else pytest.approx(value) for name, value in expected.items()
    }


def test_spreads_are_between_windows():
    def window(seconds: float, latency: float) -> Window:
        return Window(seconds, np.array([latency] * 99 + [5 * latency]), COUNTERS, Usage(1, 1, 1, None))

    measurement = Measurement((window(1, 10), window(2, 10), window(1, 20)), 3, stable=True)
    assert measurement.throughput_spread == pytest.approx((100 - 50) / (250 / 3))
    assert measurement.latency_spread(50) == pytest.approx((20 - 10) / (40 / 3))


def test_counters_are_subtracted_and_added_field_by_field():
    one = Counters(1, 2, 3, 4, 5, 6, 7)
    assert COUNTERS - one == Counters(9, 38, 5, 9_999_996, 19_999_995, 49_999_994, 4_999_993)
    assert COUNTERS - one + one == COUNTERS
