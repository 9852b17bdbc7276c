"""Windows until three agree, exact numbers of requests, and what is told of them; on targets whose behaviour is known."""

import csv
import io
import json
import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from tcli_analyzer.arrivals import Distribution
from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.load.failing import LoadFailedError
from tcli_analyzer.load.open import MOST_OUTSTANDING
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.perf.csv_report import write_csv
from tcli_analyzer.perf.export import write_export
from tcli_analyzer.perf.loads import Range, closed, linear
from tcli_analyzer.perf.measured import Measured, PerfWindow
from tcli_analyzer.perf.measurement import NothingAnsweredError, PerfOptions, measure
from tcli_analyzer.perf.session import measure_all
from tcli_analyzer.target import Counters
from tcli_server.errors import UnavailableError

NOTHING = [{}]


class Answering:
    """Answers each request in a thread of its own loop, after what it is told to do with it."""

    def __init__(self, before=lambda _: None):
        self.sent = 0
        self.before = before

    def submit(self, inputs, reply):  # noqa: ARG002
        self.sent += 1
        threading.Thread(target=self._answer, args=(self.sent, reply), daemon=True).start()

    def _answer(self, number, reply):
        reply(self.before(number))

    def counters(self):
        return Counters(requests=self.sent, inferences=2 * self.sent, executions=self.sent, success_ns=5000 * self.sent)


class AnsweringAtTheEnd(Answering):
    """Answers nothing until more requests wait than a load may have."""

    def __init__(self):
        super().__init__()
        self._waiting = []

    def submit(self, inputs, reply):  # noqa: ARG002
        self.sent += 1
        self._waiting.append(reply)
        if self.sent > MOST_OUTSTANDING:
            threading.Timer(0.2, lambda: [each(None) for each in self._waiting]).start()


def run(target, load, options, stop=None):
    return measure(target, NOTHING, load, options, stop or threading.Event())


@pytest.mark.parametrize("load", [ClosedLoad(3), OpenLoad(500.0), OpenLoad(900.0, gaps_seconds=(0.001, 0.0012))])
def test_an_exact_number_of_requests(load):
    target = Answering()
    measured = run(target, load, PerfOptions(requests=40, warm_up_requests=10))
    assert target.sent == 50
    assert measured.requests == 40
    assert measured.counters.requests == 40
    assert measured.stable is None
    assert measured.server.total == pytest.approx(5)
    assert measured.server.overhead == pytest.approx(5)


@pytest.mark.parametrize("distribution", list(Distribution))
def test_a_rate_that_nobody_can_send_takes_no_memory(distribution):
    tracemalloc.start()
    try:
        run(Answering(), OpenLoad(1e7, distribution), PerfOptions(interval_seconds=0.05, max_trials=3))
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("options", [PerfOptions(interval_seconds=0.05), PerfOptions(requests=9000)])
def test_too_many_at_once_before_the_first_answer_is_an_overload(options):
    target = AnsweringAtTheEnd()
    measured = run(target, OpenLoad(1e7), options)
    assert measured.overloaded
    assert not measured.stable
    assert measured.requests == target.sent


def test_windows_by_time():
    measured = run(Answering(), ClosedLoad(2), PerfOptions(interval_seconds=0.05, max_trials=4, stability=100))
    assert measured.trials == 3
    assert measured.stable
    assert all(each.window.seconds >= 0.05 for each in measured.windows)


def test_windows_by_count_last_a_second_at_least():
    measured = run(Answering(), ClosedLoad(2), PerfOptions(window_requests=30, max_trials=1))
    assert measured.trials == 1
    assert measured.stable is False
    assert measured.requests >= 30
    assert measured.windows[0].window.seconds >= 1


def test_too_few_trials_for_stability():
    measured = run(Answering(), ClosedLoad(1), PerfOptions(interval_seconds=0.02, max_trials=2, stability=100))
    assert measured.stable is False
    assert measured.trials == 2


def test_the_latency_limit_ends_the_trials():
    options = PerfOptions(interval_seconds=0.02, max_trials=50, stability=1e-9, latency_limit_ms=1e-6)
    measured = run(Answering(), ClosedLoad(1), options)
    assert measured.over_limit
    assert measured.trials == 3


def test_a_failing_request_ends_the_load():
    target = Answering(lambda number: UnavailableError("enough") if number == 30 else None)
    with pytest.raises(LoadFailedError, match="enough"):
        run(target, ClosedLoad(2), PerfOptions(interval_seconds=30))
    with pytest.raises(LoadFailedError, match="enough"):
        run(Answering(lambda _: UnavailableError("enough")), OpenLoad(100), PerfOptions(requests=5))


class Ending(Answering):
    """Answers until two windows have ended; is their observer."""

    def __init__(self, statistics_only: bool):
        super().__init__(lambda _: UnavailableError("gone") if self.has_ended and not statistics_only else None)
        self.statistics_only = statistics_only
        self.has_ended = False

    def begins(self, load):
        """Nothing has ended yet."""

    def window(self, load, number, window):  # noqa: ARG002
        self.has_ended = number >= 2

    def counters(self):
        if self.has_ended and self.statistics_only:
            raise UnavailableError("gone")
        return super().counters()


@pytest.mark.parametrize(("statistics_only", "error"), [(False, LoadFailedError), (True, UnavailableError)])
def test_windows_before_a_failure_are_kept(statistics_only, error):
    target = Ending(statistics_only)
    options = PerfOptions(interval_seconds=0.02, max_trials=10_000, stability=1e-9)
    results = []
    measuring = measure_all(target, NOTHING, linear(Range(2, 9, 1)), closed, options, threading.Event(), (), target)
    with pytest.raises(error, match="gone"):
        results.extend(measuring)
    (kept,) = results
    assert kept.trials >= 2
    assert kept.requests >= 2
    assert isinstance(kept.failed, error)
    assert not kept.interrupted
    assert len(table(results)) == 1


def test_what_was_measured_until_it_was_stopped():
    stop = threading.Event()
    target = Answering(lambda number: stop.set() if number == 50 else None)
    measured = run(target, ClosedLoad(1), PerfOptions(interval_seconds=30), stop)
    assert measured.interrupted
    assert measured.requests >= 40


def test_stopped_before_anything_was_answered():
    stop = threading.Event()
    stop.set()
    held = threading.Event()
    target = Answering(lambda _: held.wait(1) and None)
    with pytest.raises(NothingAnsweredError):
        run(target, ClosedLoad(1), PerfOptions(), stop)


def test_a_rate_that_is_too_much():
    """Nothing is answered while requests keep coming: an end, and not a stable one."""
    held = threading.Event()
    threading.Timer(3, held.set).start()

    class Slow(Answering):
        def submit(self, inputs, reply):
            if self.sent < 5:
                super().submit(inputs, reply)
            else:
                self.sent += 1
                waiting.append(reply)

    waiting = []

    def answer():
        held.wait()
        for reply in waiting:
            reply(None)

    threading.Thread(target=answer, daemon=True).start()
    measured = run(Slow(), OpenLoad(20_000), PerfOptions(interval_seconds=0.5))
    assert measured.overloaded
    assert not measured.stable


def window(latencies_ms, seconds=1.0, delay_ms=0.0, lost=0.0, cores=0.1, counters=None):
    """A window with these latencies, each so long after it was sent."""
    latencies = np.asarray(latencies_ms, np.float64)
    processor = ProcessorTime(own=1.0, wait=lost, other=lost, steal=0.0)
    ended = np.arange(len(latencies)) * 1_000_000
    counted = counters or Counters(requests=len(latencies), inferences=len(latencies), executions=1, queue_ns=100)
    return PerfWindow(
        Window(0.0, seconds, latencies, counted, processor, late_ms=delay_ms),
        np.column_stack([ended, ended + 1]),
        latencies - delay_ms,
        cores,
    )


def measured(load=ClosedLoad(1), count=400, **options):  # noqa: B008 - a value, never changed
    return Measured(load, (window(np.full(count, 10.0), **options),), 3, True)


@pytest.mark.parametrize(
    ("rates", "latencies", "agree"),
    [
        ((100, 105, 109), (10, 10, 10), True),
        ((100, 105, 111), (10, 10, 10), False),
        ((100, 100, 100), (10, 10, 11.5), False),
        ((10, 100, 100, 100), (90, 10, 10, 10), True),
        ((100, 100), (10, 10), False),
    ],
)
def test_three_windows_in_a_row_agree(rates, latencies, agree):
    found = [window(np.full(rate, latency)) for rate, latency in zip(rates, latencies, strict=True)]
    assert PerfOptions(stability=0.1).agree(found) is agree


def test_values_that_do_not_add_up_are_said_to():
    """4 requests were outstanding on average, by throughput and latency."""
    assert "4 requests were outstanding" in measured(ClosedLoad(1)).imbalance
    assert measured(ClosedLoad(4)).imbalance == ""
    assert measured(OpenLoad(400.0)).imbalance == ""
    assert "but 800 came" in measured(OpenLoad(800.0)).imbalance
    assert replace(measured(ClosedLoad(1)), stable=None).imbalance == ""  # an exact number of requests


def test_the_generators_own_share():
    assert measured().generator_limit == ""
    assert "cores busy" in measured(cores=0.95).generator_limit
    assert "2 ms late" in measured(OpenLoad(5.0), delay_ms=2.0).generator_limit
    assert measured(OpenLoad(5.0), delay_ms=0.4).generator_limit == ""
    late = measured(OpenLoad(5.0), delay_ms=2.0)
    assert late.average_us == pytest.approx(10_000)
    assert late.service_us == pytest.approx(8_000)
    assert late.delay_us == pytest.approx(2_000)


def test_what_others_took():
    assert measured(lost=0.0).disturbance == "clean"
    assert measured(lost=0.5).disturbance == "disturbed"


def table(results, own=None, verbose=False):
    text = io.StringIO()
    write_csv(text, results, own, verbose)
    return list(csv.DictReader(io.StringIO(text.getvalue())))


def test_the_csv_has_perf_analyzers_columns_by_rising_throughput():
    rows = table([measured(ClosedLoad(1), 400), measured(ClosedLoad(2), 300)])
    assert [row["Concurrency"] for row in rows] == ["2", "1"]
    assert list(rows[0]) == [
        "Concurrency",
        "Inferences/Second",
        "Client Send",
        "Network+Server Send/Recv",
        "Server Queue",
        "Server Compute Input",
        "Server Compute Infer",
        "Server Compute Output",
        "Client Recv",
        "p50 latency",
        "p90 latency",
        "p95 latency",
        "p99 latency",
    ]
    assert rows[1]["Inferences/Second"] == "400"
    assert rows[1]["p99 latency"] == "10000"


@pytest.mark.parametrize(("milliseconds", "cell"), [(1.001, "1001"), (4.02, "4020"), (4.0199, "4019")])
def test_times_in_the_csv_are_cut_to_microseconds(milliseconds, cell):
    """4.02 * 1000 is a little less than 4020 as a float, which is not to cost a whole microsecond."""
    (row,) = table([Measured(ClosedLoad(1), (window(np.full(400, milliseconds)),), 3, True)])
    assert row["p50 latency"] == row["p99 latency"] == cell


def test_columns_that_are_not_always_there():
    rows = table([measured(OpenLoad(2.5))], verbose=True)
    assert rows[0]["Request Rate"] == "2.5"
    assert rows[0]["Avg latency"] == "10000"
    assert {"request/response", "response wait"} <= rows[0].keys()
    rows = table([measured()], own=97, verbose=True)
    assert "p97 latency" in rows[0]
    assert "Avg latency" not in rows[0]
    untold = Measured(ClosedLoad(1), (window([10.0]),), 1, None, counted=False)
    assert not any(name.startswith("Server") for name in table([untold])[0])
    cached = measured(counters=Counters(requests=4, inferences=4, executions=1, cache_hits=3, cache_hit_ns=8000))
    assert table([cached])[0]["Server Cache Hit"] == "2"


def test_the_export_has_every_request():
    text = io.StringIO()
    write_export(text, [measured(ClosedLoad(3), 5)])
    document = json.loads(text.getvalue())
    (experiment,) = document["experiments"]
    assert experiment["experiment"] == {"mode": "concurrency", "value": 3}
    assert len(experiment["requests"]) == 5
    assert experiment["requests"][0] == {"timestamp": 0, "response_timestamps": [1]}
    assert len(experiment["window_boundaries"]) == 2
    assert document["service_kind"] == "triton"
