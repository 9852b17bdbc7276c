"""Visits: windows of load on a real engine, and what is read from several of them together."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import onnx_models
from repositories import add_sub_config, write_model
from tcli_analyzer.evidence.disturbance import Disturbance, ProcessorMeter, ProcessorTime
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.load.open import MOST_OUTSTANDING
from tcli_analyzer.measuring.visit import LoadFailedError, Stopped, VisitOptions, visit
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.target import Counters, EngineTarget
from waiting import until

QUICK = VisitOptions(windows=2, seconds=0.3, warm_up_seconds=0.02, longest=1000)  # ends by its answers
REQUESTS = [{"INPUT0": np.ones((1, 16), np.float32), "INPUT1": np.ones((1, 16), np.float32)}]


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    repository = tmp_path_factory.mktemp("visited")
    write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    with EngineTarget(repository, "add_sub") as engine:
        engine.load()
        yield engine


def test_a_closed_loop_fills_its_windows(target):
    found = visit(target, REQUESTS, ClosedLoad(4), QUICK, threading.Event(), [os.getpid()])
    assert len(found) == 2
    for window in found:
        assert window.seconds >= 0.3
        assert len(window.latencies_ms) >= 34
        assert window.late_ms == 0
        assert not window.overloaded
    # The server is asked a moment after a window's end, so that what one lacks is in the next.
    assert Windows(found).counters.requests > 0
    if ProcessorMeter.is_possible():
        assert Windows(found).cpu_ms_per_inference > 0


def test_what_a_window_holds_fits_together(target):
    callers = 8
    began = time.perf_counter()
    found = Windows(visit(target, REQUESTS, ClosedLoad(callers), QUICK, threading.Event(), [os.getpid()]))
    elapsed = time.perf_counter() - began
    assert found.throughput == pytest.approx(found.requests / found.seconds)
    assert 0 < found.latency_ms(0.50) <= found.latency_ms(0.90) <= found.latency_ms(0.99)
    # Little's law: outstanding requests = throughput x latency, but for those that a window's edge cuts.
    cut = callers * found.latencies_ms.max() / 1000 / found.seconds
    assert 2 - cut < found.throughput * found.latency_avg_ms / 1000 < 32 + cut
    counted = found.counters
    assert (
        counted.executions - callers <= counted.inferences <= 8 * counted.executions + callers
    )  # some are half counted
    assert found.queue_ms > 0
    assert found.compute_infer_ms > 0
    parts = found.queue_ms + found.compute_input_ms + found.compute_infer_ms + found.compute_output_ms
    assert parts / 1000 * counted.requests <= callers * elapsed  # a request is in one part at a time
    assert found.memory_mib > 1


def test_an_open_loop_has_its_rate(target):
    options = VisitOptions(windows=1, seconds=1.0, requests=1, warm_up_seconds=0.1)
    (window,) = visit(target, REQUESTS, OpenLoad(60, seed=2), options, threading.Event())
    cut = 60 * window.latencies_ms.max() / 1000  # those that the window's edges part from the moment they were due
    assert len(window.latencies_ms) == pytest.approx(60 * window.seconds, abs=30 * window.seconds + cut)
    assert window.disturbance is Disturbance.UNOBSERVED


def test_a_failing_request_is_the_servers_words(target):
    wrong = [{"INPUT0": np.ones((1, 3), np.float32), "INPUT1": np.ones((1, 16), np.float32)}]
    with pytest.raises(LoadFailedError, match="INPUT0"):
        visit(target, wrong, ClosedLoad(2), QUICK, threading.Event())


def test_stop_ends_a_visit(target):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        visit(target, REQUESTS, ClosedLoad(1), VisitOptions(seconds=3600), stop)


def window(
    latencies: list[float], seconds: float = 1.0, processor: ProcessorTime | None = None, items: int = 1
) -> Window:
    count = len(latencies)
    return Window(0.0, seconds, np.array(latencies), Counters(count, count * items, count), processor, items=items)


def test_windows_together_are_read_as_one():
    both = Windows([window([10.0] * 10), window([20.0] * 30, items=1, seconds=3.0)])
    assert both.throughput == 10
    assert both.percentile(0.5).value == 20
    assert both.batch_avg == 1
    assert both.cpu_ms_per_inference is None
    assert Windows([window([10.0] * 10, items=4)]).throughput == 40
    assert Windows([]).throughput == 0


def test_lost_time_is_what_was_waited_for_while_others_ran():
    assert ProcessorTime(own=1.0, wait=0.5, other=0.25, steal=0.0).lost_share == pytest.approx(0.2)
    assert ProcessorTime(own=1.0, wait=0.25, other=2.0, steal=0.0).lost_share == pytest.approx(0.2)
    assert ProcessorTime(own=1.0, wait=5.0, other=0.0, steal=0.0).disturbance is Disturbance.CLEAN  # its own threads
    assert ProcessorTime(own=0.9, wait=0.0, other=0.0, steal=0.1).lost_share == pytest.approx(0.1)
    assert ProcessorTime(own=0.0, wait=0.0, other=1.0, steal=0.0).lost_share == 0
    # A model that waits for a GPU: 10 ms in a second do not make it a third slower.
    assert ProcessorTime(own=0.02, wait=0.01, other=0.5, steal=0.0, elapsed=1.0).lost_share == pytest.approx(0.01)
    assert ProcessorTime(own=1.9, wait=0.2, other=0.1, steal=0.0, elapsed=1.0).lost_share == pytest.approx(0.05)


def test_what_others_took_is_left_out_of_claims():
    busy = window([80.0] * 10, processor=ProcessorTime(1, 1, 1, 0))
    quiet = window([10.0] * 10, processor=ProcessorTime(1, 0, 0, 0))
    assert (busy.disturbance, quiet.disturbance) == (Disturbance.DISTURBED, Disturbance.CLEAN)
    assert Windows([busy, quiet]).clean.windows == [quiet]


@pytest.mark.skipif(not ProcessorMeter.is_possible(), reason="this system does not tell how long threads wait")
def test_threads_that_end_are_counted_too():
    meter = ProcessorMeter([os.getpid()])

    def work() -> None:
        total = 0
        for number in range(3_000_000):
            total += number
        ended.set()
        keep.wait()

    own = 0.0
    for _ in range(3):
        ended, keep = threading.Event(), threading.Event()
        thread = threading.Thread(target=work)
        thread.start()
        ended.wait()
        meter.sample()
        keep.set()
        thread.join()
    own = meter.take().own
    assert own > 0.05
    assert meter.take().own < own


class OneByOne:
    """Answers one request after the other, 20 ms each."""

    def __init__(self) -> None:
        self._one = ThreadPoolExecutor(1)

    def submit(self, inputs, reply, sequence=None):  # noqa: ARG002 - a target's
        self._one.submit(lambda: (time.sleep(0.02), reply(None)))

    def counters(self) -> Counters:
        return Counters()


class Flooded:
    """Answers one request before the windows begin, and the others once it has more than a load may leave unanswered."""

    def __init__(self) -> None:
        self._held = []
        self._asked = 0
        self._begun = threading.Event()

    def submit(self, inputs, reply, sequence=None):  # noqa: ARG002 - a target's
        self._held.append(reply)
        if len(self._held) > 1:
            self._begun.wait(60)
        if len(self._held) == MOST_OUTSTANDING + 1:
            threading.Timer(0.2, self._answer).start()

    def counters(self) -> Counters:
        self._asked += 1
        if self._asked == 1:
            until(lambda: bool(self._held))
            self._held[0](None)
        else:
            self._begun.set()
        return Counters()

    def _answer(self) -> None:
        for reply in self._held[1:]:
            reply(None)


def test_a_rate_that_is_given_up_before_a_window_has_an_answer_gets_one():
    options = VisitOptions(windows=2, warm_up_seconds=0.0)
    (window,) = visit(Flooded(), REQUESTS, OpenLoad(1e6), options, threading.Event())
    assert window.overloaded
    assert len(window.latencies_ms) >= 1


def test_a_rate_that_is_far_too_much_shows_what_was_answered_until_it_was_given_up():
    """The load ends within the warm-up; a window without answers would say nothing of what the model can do."""
    options = VisitOptions(windows=2, seconds=1.0, requests=1, warm_up_seconds=1.0)
    (window,) = visit(OneByOne(), REQUESTS, OpenLoad(1000, seed=3), options, threading.Event())
    assert window.overloaded
    assert 1 < window.throughput <= 50
