"""What an instance is given for sequences: rows that stay, gaps that are filled, and how long a batch is waited for."""

import threading
import time

import numpy as np
import pytest

from recorded_sequences import Model
from tcli_server.errors import InvalidArgumentError
from waiting import until


def test_a_sequence_keeps_its_row_and_gaps_are_no_requests():
    model = Model()
    model.held("a", "b", "c")
    model.send("a", 5)
    model.send("c", 6)
    model.go_on()
    model.answers.wait(6)
    assert model.batches == [[("a", False, True, 5), ("", False, False, 0), ("c", False, True, 6)]]
    assert model.statistics.inference_count == 6
    assert model.statistics.batches[3].count >= 1  # rows count, whether there is a request for them or not


def test_the_row_of_a_sequence_that_ended_is_the_next_ones():
    model = Model()
    model.held("a", "b", "c")
    model.send("b", 1, end=True)
    model.go_on()
    model.answers.wait(5)
    model.instances[0].gate.clear()
    model.send("a")
    assert model.instances[0].entered.acquire(timeout=60)
    until(lambda: len(model.batches) == 2)
    model.send("d", 7, start=True)
    model.send("c", 8)
    model.go_on()
    model.answers.wait(8)
    assert model.batches[-1] == [("", False, False, 0), ("d", True, True, 7), ("c", False, True, 8)]


def test_first_rows_of_all_instances_come_first():
    model = Model(count=2)
    for number, name in enumerate("abcd"):
        model.send(name, start=True)
        model.answers.wait(number + 1)
    assert [batch[-1][0] for batch in model.instances[0].batches] == ["a", "c"]
    assert [batch[-1][0] for batch in model.instances[1].batches] == ["b", "d"]


def test_another_shape_waits_for_the_next_batch():
    model = Model(dims=-1)
    model.held("a", "b", "c")
    model.send("b", 1, width=2)
    model.send("a", 2)
    model.send("c", 3, width=2)
    model.go_on()
    model.answers.wait(7)
    assert model.batches == [
        [("", False, False, 0), ("b", False, True, 1), ("c", False, True, 3)],
        [("a", False, True, 2)],
    ]


def test_a_request_that_the_instance_refuses_moves_no_row():
    model = Model()
    model.held("a", "b", "c")
    for name, value in (("a", 1), ("b", np.nan), ("c", 3)):
        model.send(name, value)
    model.go_on()
    answers = {answer.id: answer for answer in model.answers.wait(7)[4:]}
    assert model.batches[-1] == [("a", False, True, 1), ("", False, False, 0), ("c", False, True, 3)]
    assert str(answers["b"].error).endswith("not a number")
    assert answers["c"].outputs["Y"].tolist() == [[3]]
    model.send("b", 4)  # the sequence goes on
    assert model.answers.wait(8)[7].error is None


def test_a_batch_that_fails_fails_its_requests_and_runs_once():
    """The instance may have changed its state: whoever runs it again runs something else."""
    model = Model()
    model.held("a", "b")
    model.send("a", 1)
    model.send("b", 2)
    model.instances[0].failing = True
    model.go_on()
    answers = model.answers.wait(5)
    assert len(model.batches) == 1
    assert all("ValueError: no" in str(answer.error) for answer in answers[3:])
    model.instances[0].failing = False
    model.send("a", 1)
    assert model.answers.wait(6)[5].error is None


@pytest.mark.parametrize("end", [False, True])
def test_a_client_that_is_gone_while_its_request_runs_ends_its_sequence(end: bool):
    model = Model()
    model.held("a")
    waiting = model.send("a", 2) if not end else None
    running = next(run.running for run in model.scheduler._seats[0].rows if run is not None)
    assert running.cancel()
    model.go_on()
    until(lambda: model.scheduler.idle)
    assert [answer.error is not None for answer in model.answers.responses[1:]] == [True] * (2 if waiting else 1)
    with pytest.raises(InvalidArgumentError, match="START"):
        model.send("a")


def test_direct_waits_until_enough_slots_have_a_request():
    model = Model("direct { minimum_slot_utilization: 0.5 max_queue_delay_microseconds: 3600000000 }")
    model.send("a", 1, start=True)
    assert not model.instances[0].entered.acquire(timeout=0.05)
    model.send("b", 2, start=True)
    model.answers.wait(2)
    assert model.batches == [[("a", True, True, 1), ("b", True, True, 2)]]


def test_direct_waits_no_longer_than_it_may():
    model = Model("direct { minimum_slot_utilization: 1 max_queue_delay_microseconds: 20000 }")
    start = time.monotonic()
    model.send("a", start=True)
    model.answers.wait(1)
    assert 0.02 <= time.monotonic() - start < 15


def test_oldest_batches_whoever_is_ready_in_the_order_of_arrival():
    model = Model("oldest { }")
    model.held("a", "b", "c")
    for name, value in (("c", 1), ("a", 2), ("c", 3)):
        model.send(name, value)
    model.go_on()
    model.answers.wait(7)
    assert model.batches == [[("c", False, True, 1), ("a", False, True, 2)], [("c", False, True, 3)]]


def test_oldest_waits_for_a_preferred_size():
    model = Model("oldest { preferred_batch_size: 2 max_queue_delay_microseconds: 3600000000 }")
    model.send("a", 1, start=True)
    assert not model.instances[0].entered.acquire(timeout=0.05)
    model.send("b", 2, start=True)
    model.answers.wait(2)
    assert [len(batch) for batch in model.batches] == [2]


def test_an_instance_that_goes_keeps_its_sequences_until_they_end():
    model = Model(count=2)
    model.send("a", start=True)
    model.send("b", start=True)
    model.answers.wait(2)
    model.scheduler.resize(model.placed[1:])
    model.send("a", 2)
    model.answers.wait(3)
    assert model.instances[0].batches[-1][0][0] == "a"
    assert not model.instances[0].closed.is_set()
    model.send("a", 3, end=True)
    assert model.instances[0].closed.wait(60)
    model.send("c", start=True)
    model.answers.wait(5)
    assert model.instances[1].batches[-1][-1][0] == "c"


def test_the_threads_of_a_stopped_scheduler_are_gone():
    before = threading.active_count()
    model = Model(count=2)
    model.send("a", start=True)
    model.answers.wait(1)
    model.scheduler.stop()
    assert model.scheduler.join(60)
    assert all(instance.closed.is_set() for instance in model.instances)
    assert threading.active_count() == before


def test_thousands_that_wait_for_a_slot_and_leave_are_not_kept():
    model = Model()
    model.held("a", "b", "c", "d")
    waiting = [model.send(f"w{number}", start=True) for number in range(2000)]
    assert model.scheduler.pending == 2000
    for request in waiting[:-1]:
        assert request.cancel()
    assert model.scheduler.pending == 1
    assert len(model.scheduler._backlog) < 100
    assert len(model.scheduler._runs) == 5
    model.send("b", end=True)
    model.go_on()
    until(lambda: model.scheduler.idle)
    assert model.batches[-1][1] == ("w1999", True, True, 1)
    model.scheduler.stop()
    assert model.scheduler.join(60)


def test_what_waited_and_left_holds_up_no_end():
    model = Model()
    model.held("a", "b", "c", "d")
    for number in range(10):
        model.send(f"w{number}", start=True).cancel()
    model.go_on()
    model.scheduler.stop()
    assert model.scheduler.join(60)


def test_timeouts_of_what_has_its_slot_are_not_kept():
    model = Model()
    model.held("a", "b", "c", "d")
    requests = [model.send("w", start=number == 0, timeout_us=10**15) for number in range(1000)]
    model.send("b", end=True)
    model.go_on()
    until(lambda: model.scheduler.idle)
    assert all(request.ended for request in requests)
    model.instances[0].gate.clear()
    model.send("a")
    for number in range(200):
        model.send(f"v{number}", start=True, timeout_us=10**15)
    assert len(model.scheduler._deadlines) < 2 * model.scheduler.pending + 100
    model.go_on()


def test_a_request_that_ended_keeps_no_tensors():
    model = Model()
    request = model.send("a", start=True)
    model.answers.wait(1)
    until(lambda: model.scheduler.idle)
    assert (request.inputs, request.step) == ({}, None)
