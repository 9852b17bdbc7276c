"""Sequences: state kept between requests, slots, the backlog, and how sequences end."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tcli_server import Engine, InferenceRequest, InferenceResponse
from tcli_server.errors import CancelledError, InvalidArgumentError, UnavailableError
from waiting import until

STRATEGIES = {"direct": "", "oldest": "oldest { max_candidate_sequences: 4 }"}
LONG = "max_sequence_idle_microseconds: 3600000000"
NO_START = "must specify the START flag on the first request of the sequence"

pytestmark = pytest.mark.parametrize("strategy", STRATEGIES)


def step(
    engine: Engine,
    sequence: int | str,
    value: int = 1,
    start: bool = False,
    end: bool = False,
    rows: int = 1,
    **more: int,
) -> tuple[int, list[int]]:
    """One request: the sum so far, and the controls that the model saw."""
    batches = engine.model("sums").spec.max_batch_size > 0
    array = np.full((rows, 1) if batches else (1,), value, np.int32)
    response = engine.infer(
        "sums", {"INPUT": array}, sequence_id=sequence, sequence_start=start, sequence_end=end, **more
    )
    return int(response.outputs["OUTPUT"].ravel()[0]), response.outputs["SEEN"].ravel().tolist()


class Sent:
    """A request that is on its way."""

    def __init__(
        self, engine: Engine, sequence: int, value: int = 1, start: bool = False, end: bool = False, **more: int
    ):
        self.answered = threading.Event()
        self.response: InferenceResponse | None = None
        inputs = {"INPUT": np.full((1, 1), value, np.int32)}
        self.request = InferenceRequest(
            "sums", inputs, reply=self._reply, sequence_id=sequence, sequence_start=start, sequence_end=end, **more
        )
        engine.submit(self.request)

    def _reply(self, response: InferenceResponse) -> None:
        self.response = response
        self.answered.set()

    def result(self) -> int:
        assert self.answered.wait(60)
        assert self.response is not None
        if self.response.error is not None:
            raise self.response.error
        return int(self.response.outputs["OUTPUT"].ravel()[0])


@pytest.mark.parametrize("max_batch_size", [0, 1, 4])
def test_a_sequence_keeps_its_state_and_the_model_sees_where_it_is(serve, strategy: str, max_batch_size: int):
    engine = serve(STRATEGIES[strategy], max_batch_size)
    assert step(engine, 7, 1, start=True) == (1, [1, 0, 1, 7])
    assert step(engine, 7, 2) == (3, [0, 0, 1, 7])
    assert step(engine, 7, 3, end=True) == (6, [0, 1, 1, 7])
    assert step(engine, 7, 5, start=True, end=True) == (5, [1, 1, 1, 7])
    with pytest.raises(InvalidArgumentError, match=f"for sequence 7 to model 'sums' {NO_START}"):
        step(engine, 7)


@pytest.mark.parametrize("instances", [1, 3])
def test_fifty_interleaved_sequences_never_mix(serve, strategy: str, instances: int):
    """Twelve slots at most, so most of them wait for one; each client checks every one of its sums."""
    engine = serve(f"{STRATEGIES[strategy]} {LONG}", count=instances)

    def one_client(number: int) -> int:
        dice, total, length = random.Random(number), 0, 3 + number % 9
        for index in range(length):
            value = dice.randrange(1000)
            total += value
            answer, seen = step(engine, number, value, start=index == 0, end=index == length - 1)
            assert (answer, seen) == (total, [int(index == 0), int(index == length - 1), 1, number])
        return length

    with ThreadPoolExecutor(50) as pool:
        lengths = list(pool.map(one_client, range(1, 51)))
    statistics = engine.model("sums").statistics
    assert (statistics.success_count, statistics.fail_count) == (sum(lengths), 0)
    assert statistics.inference_count == sum(lengths)
    assert statistics.execution_count <= sum(lengths)
    assert engine.model("sums").pending == 0


def test_sequences_share_batches_whoever_they_are(serve, strategy: str):
    engine = serve(f"{STRATEGIES[strategy]} {LONG}")
    for number in range(1, 5):
        step(engine, number, number, start=True)
    before = engine.model("sums").statistics.execution_count
    for _ in range(50):
        sent = [Sent(engine, number, 10) for number in range(1, 5)]
        for each in sent:
            each.result()
    assert engine.model("sums").statistics.execution_count - before < 4 * 50
    assert [step(engine, number, 0, end=True)[0] for number in range(1, 5)] == [number + 500 for number in range(1, 5)]


def test_an_id_that_is_a_number_and_one_that_looks_like_it_are_two(serve, strategy: str):
    engine = serve(STRATEGIES[strategy])
    with pytest.raises(InvalidArgumentError, match=r"'CORRID' data-type is 'BYTES', but model 'sums' expects 'INT32'"):
        step(engine, "7", start=True)
    with pytest.raises(InvalidArgumentError, match="cannot be longer than 128 characters"):
        step(engine, "x" * 129, start=True)
    with pytest.raises(InvalidArgumentError, match="out of range"):
        step(engine, 2**64, start=True)
    assert step(engine, 2**32 + 9, start=True, end=True)[1][3] == 9  # the low bytes, as in Triton


def test_what_cannot_be_part_of_a_sequence_is_refused(serve, strategy: str):
    engine = serve(STRATEGIES[strategy])
    with pytest.raises(InvalidArgumentError, match="must specify batch-size 1 due to requirements of sequence batcher"):
        step(engine, 1, start=True, rows=2)
    for nothing in (0, ""):
        with pytest.raises(InvalidArgumentError, match="must specify a non-zero or non-empty correlation ID"):
            step(engine, nothing, start=True)
    with pytest.raises(InvalidArgumentError, match=NO_START):
        step(engine, 3, end=True)


def test_a_start_in_the_middle_begins_anew(serve, strategy: str, caplog: pytest.LogCaptureFixture):
    engine = serve(f"{STRATEGIES[strategy]} {LONG}")
    step(engine, 5, 100, start=True)
    assert step(engine, 5, 1, start=True) == (1, [1, 0, 1, 5])
    assert step(engine, 5, 1, end=True)[0] == 2
    assert "sequence 5 for model 'sums' has a conflict" in caplog.text
    for _ in range(50):
        step(engine, 5, 1, start=True)
    assert caplog.text.count("has a conflict") == 1


def test_the_oldest_of_those_that_wait_gets_the_free_slot_with_all_that_it_sent(serve, strategy: str):
    engine = serve(f"{STRATEGIES[strategy]} {LONG}")
    for number in range(1, 5):
        step(engine, number, start=True)
    first = [Sent(engine, 10, 1, start=True), Sent(engine, 10, 2, end=True)]
    second = Sent(engine, 11, 5, start=True)
    until(lambda: engine.model("sums").pending == 3)
    assert not second.answered.is_set()
    step(engine, 3, end=True)
    assert [sent.result() for sent in first] == [1, 3]
    assert second.result() == 5  # the first of them ended, which made room


def test_an_idle_sequence_loses_its_slot_to_one_that_waits(serve, strategy: str):
    engine = serve(f"{STRATEGIES[strategy]} max_sequence_idle_microseconds: 50000")
    for number in range(1, 5):
        step(engine, number, start=True)
    assert Sent(engine, 9, 4, start=True, end=True).result() == 4
    until(lambda: not engine.model("sums")._scheduler._runs)
    with pytest.raises(InvalidArgumentError, match=NO_START):
        step(engine, 1)


def test_a_client_that_cancels_while_it_waits_ends_its_sequence(serve, strategy: str):
    engine = serve(f"{STRATEGIES[strategy]} {LONG}")
    for number in range(1, 5):
        step(engine, number, start=True)
    sent = [Sent(engine, 10, 1, start=True), Sent(engine, 10, 2)]
    until(lambda: engine.model("sums").pending == 2)
    assert sent[1].request.cancel()
    for each in sent:
        with pytest.raises(CancelledError):
            each.result()
    assert engine.model("sums").pending == 0
    with pytest.raises(InvalidArgumentError, match=NO_START):
        step(engine, 10)
    assert engine.model("sums").statistics.failure_count["CANCELED"] == 2


def test_a_timeout_counts_while_a_sequence_waits_for_a_slot(serve, strategy: str):
    engine = serve(f"{STRATEGIES[strategy]} {LONG}")
    for number in range(1, 5):
        step(engine, number, start=True)
    sent = [Sent(engine, 10, 1, start=True), Sent(engine, 10, 2, timeout_us=20_000)]
    for each in sent:
        with pytest.raises(UnavailableError, match="timeout of the corresponding sequence has been expired"):
            each.result()
    assert engine.model("sums").statistics.failure_count["REJECTED"] == 2
    assert step(engine, 1, 1, end=True, timeout_us=1)[0] == 2  # it has its slot


def test_what_is_queued_when_the_model_stops_is_answered(serve, strategy: str):
    engine = serve(f"{STRATEGIES[strategy]} {LONG}")
    sent = [Sent(engine, number, number, start=True) for number in range(1, 20)]
    start = time.monotonic()
    engine.model("sums").stop()
    assert [each.result() for each in sent] == list(range(1, 20))
    assert engine.model("sums").join(60)
    assert time.monotonic() - start < 30
    with pytest.raises(UnavailableError):
        step(engine, 50, start=True)


def test_an_initial_state_is_what_a_sequence_starts_from(serve, strategy: str, tmp_path):
    (tmp_path / "sums" / "initial_state").mkdir(parents=True)
    (tmp_path / "sums" / "initial_state" / "hundred").write_bytes(np.int32(100).tobytes())
    engine = serve(
        STRATEGIES[strategy],
        initial='initial_state { name: "i" data_type: TYPE_INT32 dims: [ 1 ] data_file: "hundred" }',
    )
    assert step(engine, 1, 1, start=True)[0] == 101
    assert step(engine, 1, 1)[0] == 102
