"""Load for models with state: whole sequences, one request after the other, and no slot taken when it is over."""

import threading
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import sequence_models
from repositories import write_model
from tcli_analyzer.arrivals import schedule
from tcli_analyzer.data import DataSource
from tcli_analyzer.inputs import Requests
from tcli_analyzer.load import ClosedLoad, OpenLoad, Sequences
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.load.open import OpenLoop
from tcli_analyzer.load.sequences import Dealer, sequences_of
from tcli_analyzer.measuring.visit import VisitOptions, visit
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.target import EngineTarget, SequenceMark
from waiting import until

FOREVER = "max_sequence_idle_microseconds: 3600000000"
REQUESTS = [{"INPUT": np.full((1, 1), number, np.int32)} for number in range(6)]
SLOTS = 4


class Heard(EngineTarget):
    """A target that keeps what it was sent, and sees to it that no sequence has two requests under way."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.marks: dict[int | str, list[SequenceMark]] = defaultdict(list)
        self.values: dict[int | str, list[int]] = defaultdict(list)
        self.under_way: set[int | str] = set()
        self.crossed = 0
        self.most_open = 0
        self._guard = threading.Lock()

    def submit(self, inputs, reply, sequence=None) -> None:
        with self._guard:
            self.crossed += sequence.id in self.under_way
            self.under_way.add(sequence.id)
            self.marks[sequence.id].append(sequence)
            self.values[sequence.id].append(int(inputs["INPUT"].ravel()[0]))
            self.most_open = max(self.most_open, sum(not marks[-1].end for marks in self.marks.values()))

        def answered(error) -> None:
            with self._guard:
                self.under_way.discard(sequence.id)
            reply(error)

        super().submit(inputs, answered, sequence)

    def check(self) -> None:
        """Every sequence begins once, at its beginning, and ends once, at its end."""
        assert not self.crossed
        for marks in self.marks.values():
            assert [mark.start for mark in marks] == [True] + [False] * (len(marks) - 1)
            assert [mark.end for mark in marks] == [False] * (len(marks) - 1) + [True]

    def check_slots(self) -> None:
        """As many new sequences as there are slots are answered at once."""
        answers: list[object] = []
        for number in range(SLOTS):
            super().submit(REQUESTS[0], answers.append, SequenceMark(10_000 + number, start=True))
        until(lambda: len(answers) == SLOTS, "a slot is still taken")
        assert set(answers) == {None}


class Silent:
    """A target that answers nothing."""

    def submit(self, inputs, reply, sequence=None) -> None:
        """Take it."""


@pytest.fixture
def target(tmp_path: Path):
    config = sequence_models.sums_config(FOREVER, max_batch_size=SLOTS)
    write_model(tmp_path, "sums", sequence_models.sums(), config)
    with Heard(tmp_path, "sums") as heard:
        heard.load()
        yield heard


@pytest.mark.parametrize("callers", [1, 3, 9])
def test_each_caller_plays_sequences_and_ends_the_last(target: Heard, callers: int):
    with ClosedLoop(target, REQUESTS, callers, Sequences(5, seed=3)) as load:
        until(lambda: len(load.replies) > 20 * callers)
    assert load.error is None
    target.check()
    target.check_slots()
    assert target.most_open <= callers
    lengths = [len(marks) for number, marks in target.marks.items() if number <= len(target.marks) - callers]
    assert set(lengths) <= {4, 5, 6}
    assert len(load.replies) == sum(map(len, target.marks.values()))


def test_an_open_loop_has_a_pool_of_sequences(target: Heard):
    with OpenLoop(target, REQUESTS, schedule(400, 60), Sequences(5, pool=3, idle_seconds=3600)) as load:
        until(lambda: len(load.replies) > 150)
    assert load.error is None
    target.check()
    target.check_slots()
    assert target.most_open >= 3


def test_more_requests_at_once_than_the_pool_has_sequences_open_more(target: Heard):
    with OpenLoop(target, REQUESTS, np.zeros(50), Sequences(5, pool=2, idle_seconds=3600)) as load:
        until(lambda: load.is_over)
    assert load.error is None
    target.check()
    target.check_slots()
    assert len(load.replies) == 50


def test_a_slow_rate_opens_few_and_begins_anew_what_the_server_may_have_forgotten(tmp_path: Path):
    config = sequence_models.sums_config("max_sequence_idle_microseconds: 300000", max_batch_size=SLOTS)
    write_model(tmp_path, "sums", sequence_models.sums(), config)
    with Heard(tmp_path, "sums") as target:
        sequences = sequences_of(target.load(), Sequences(1000))
        assert sequences is not None
        assert sequences.idle_seconds == 0.3
        sequences = sequences.at_rate(5)
        assert sequences.pool == 1
        moments = np.cumsum([0.0, 0.001, 0.4, 0.001, 0.4, 0.001])
        with OpenLoop(target, REQUESTS, moments, sequences) as load:
            until(lambda: len(load.replies) == 6)
    assert load.error is None
    starts = [mark.start for marks in target.marks.values() for mark in marks]
    assert sum(starts) >= 3  # each gap may have been too long


def test_recorded_sequences_are_played_as_they_are(target: Heard):
    requests = Requests(REQUESTS)
    requests.lengths = (1, 2, 3)
    with ClosedLoop(target, requests, 2, Sequences()) as load:
        until(lambda: len(load.replies) > 60)
    target.check()
    played = {tuple(values) for number, values in target.values.items() if number <= len(target.values) - 2}
    assert played == {(0,), (1, 2), (3, 4, 5)}


def test_recorded_sequences_of_another_length():
    requests = Requests(REQUESTS)
    requests.lengths = (1, 5)
    dealer = Dealer(Sequences(3, variation=0), requests)
    first, second = dealer.deal(), dealer.deal()
    assert [first.next()[0] for _ in range(3)] == [0, 0, 0]
    assert [second.next()[0] for _ in range(3)] == [1, 2, 3]
    assert first.over
    assert second.over


def test_requests_are_sent_in_turn_whatever_the_length():
    dealer = Dealer(Sequences(4, variation=0), REQUESTS)
    played = [[sequence.next()[0] for _ in range(4)] for sequence in (dealer.deal(), dealer.deal(), dealer.deal())]
    assert played == [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]]
    longer = Dealer(Sequences(8, variation=0), REQUESTS).deal()
    assert [longer.next()[0] for _ in range(8)] == [0, 1, 2, 3, 4, 5, 0, 1]


@pytest.mark.parametrize(("rate", "pool"), [(0.1, 1), (8, 2), (1000, 4)])
def test_a_pool_is_as_large_as_a_rate_keeps_awake(rate: float, pool: int):
    assert Sequences().at_rate(rate) == Sequences(pool=pool)


def test_ids_are_counted_again_but_not_those_that_are_open():
    dealer = Dealer(Sequences(first_id=7, last_id=9), REQUESTS)
    first, second, third = (dealer.deal() for _ in range(3))
    assert [one.id for one in (first, second, third)] == [7, 8, 9]
    dealer.finished(second)
    assert dealer.deal().id == 8


def test_more_open_sequences_than_ids_end_the_load():
    """Two that shared an id would be one to the server."""
    with OpenLoop(Silent(), REQUESTS, np.zeros(9), Sequences(first_id=7, last_id=9)) as load:
        until(lambda: load.error is not None)
        load.drain_seconds = 0
    assert "the ids 7 to 9 are too few" in str(load.error)
    assert load.outstanding == 3


def test_texts_for_a_model_that_wants_them(tmp_path: Path):
    config = sequence_models.sums_config(FOREVER)
    write_model(tmp_path, "sums", sequence_models.sums(), config)
    with EngineTarget(tmp_path, "sums") as target:
        complete = target.load()
    numbers = sequences_of(complete)
    assert numbers is not None
    assert numbers.prefix == ""
    for listed in complete.sequence_batching.control_input:
        if listed.name == "CORRID":
            listed.control[0].data_type = (
                complete.input[0].DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_name["TYPE_STRING"].number
            )
    texts = sequences_of(complete, Sequences(first_id=4))
    assert texts is not None
    assert Dealer(texts, REQUESTS).deal().id == "sequence-4"
    complete.ClearField("sequence_batching")
    assert sequences_of(complete) is None


def test_text_ids_reach_the_engine(tmp_path: Path):
    config = """
backend: "onnxruntime"
max_batch_size: 0
input { name: "INPUT" data_type: TYPE_STRING dims: [ 2 ] }
output { name: "OUTPUT" data_type: TYPE_STRING dims: [ 2 ] }
sequence_batching { state { input_name: "OLD" output_name: "NEW" data_type: TYPE_STRING dims: [ 2 ] } }
"""
    write_model(tmp_path, "delayed", sequence_models.delayed_strings(), config)
    with EngineTarget(tmp_path, "delayed") as target:
        requests = DataSource().make(target.load(), 1)
        with ClosedLoop(target, requests, 1, Sequences(3, prefix="user-")) as load:
            until(lambda: len(load.replies) > 10)
    assert load.error is None


@pytest.mark.parametrize("load", [ClosedLoad(6, Sequences(7)), OpenLoad(40, sequences=Sequences(7, idle_seconds=3600))])
def test_a_visit_measures_sequences(target: Heard, load: ClosedLoad | OpenLoad):
    options = VisitOptions(windows=2, seconds=0.3, requests=5, warm_up_seconds=0.05, longest=1000)
    windows = visit(target, REQUESTS, load, options, threading.Event())
    assert len(windows) == 2
    assert all(len(window.latencies_ms) >= 5 for window in windows)
    assert Windows(windows).counters.requests > 0
    target.check()
    target.check_slots()


def test_a_request_that_is_refused_ends_the_load(target: Heard):
    wrong = [*REQUESTS[:2], {"INPUT": np.zeros((1, 2), np.int32)}]
    with ClosedLoop(target, wrong, 2, Sequences(9, variation=0)) as load:
        until(lambda: load.error is not None)
    assert "INPUT" in str(load.error)
