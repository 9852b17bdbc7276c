"""How queued requests become batches (Triton's dynamic batcher rules)."""

import threading

import pytest

from tcli_server.request import InferenceRequest
from tcli_server.scheduling.batcher import Batcher, SchedulerStoppedError

HOUR_NS = 3_600 * 10**9


def request(batch_size: int = 1, shape_key: tuple = ()) -> InferenceRequest:
    return InferenceRequest("m", {}, batch_size=batch_size, shape_key=shape_key)


def batch_sizes(batcher: Batcher, requests: list[InferenceRequest]) -> list[list[int]]:
    for item in requests:
        batcher.put(item)
    batcher.stop()
    batches = []
    while (taken := batcher.take()) is not None:
        batches.append([item.batch_size for item in taken[1]])
    return batches


def test_requests_that_wait_share_a_batch_up_to_the_maximum():
    assert batch_sizes(Batcher(4), [request() for _ in range(6)]) == [[1, 1, 1, 1], [1, 1]]


def test_a_request_is_never_split():
    assert batch_sizes(Batcher(4), [request(3), request(3), request(1)]) == [[3], [3, 1]]


def test_without_dynamic_batching_every_request_runs_alone():
    assert batch_sizes(Batcher(1), [request(), request(5), request()]) == [[1], [5], [1]]


def test_different_shapes_never_share_a_batch_and_keep_their_order():
    a, b = (("x", (1,)),), (("x", (2,)),)
    batches = batch_sizes(Batcher(8), [request(shape_key=a), request(shape_key=b), request(shape_key=a)])
    assert batches == [[1], [1], [1]]


def test_a_preferred_size_leaves_the_rest_while_there_is_time():
    batcher = Batcher(8, preferred=(4,), max_delay_ns=HOUR_NS)
    for _ in range(6):
        batcher.put(request())
    number, batch = batcher.take()
    assert (number, len(batch)) == (0, 4)
    batcher.stop()
    assert len(batcher.take()[1]) == 2


def test_the_delay_is_waited_for_a_preferred_size():
    batcher = Batcher(8, preferred=(3,), max_delay_ns=HOUR_NS)
    batches = []
    worker = threading.Thread(target=lambda: batches.append(batcher.take()[1]))
    worker.start()
    for _ in range(3):
        assert not batches
        batcher.put(request())
    worker.join(30)
    assert len(batches[0]) == 3


def test_the_oldest_request_leaves_when_its_delay_is_over():
    batcher = Batcher(8, preferred=(8,), max_delay_ns=1_000_000)
    batcher.put(request())
    assert len(batcher.take()[1]) == 1


def test_without_a_delay_preferred_sizes_do_not_matter():
    batcher = Batcher(8, preferred=(4,))
    for _ in range(6):
        batcher.put(request())
    assert len(batcher.take()[1]) == 6


def test_free_instances_share_what_is_queued():
    batcher = Batcher(8, sharers=2)
    for _ in range(5):
        batcher.put(request())
    assert len(batcher.take()[1]) == 3, "two instances are free: one takes its half"
    assert len(batcher.take()[1]) == 2, "the other one takes the rest"
    batcher.finished()
    for _ in range(4):
        batcher.put(request())
    assert len(batcher.take()[1]) == 4, "the other is still busy, so this one takes all"
    batcher.finished()
    batcher.finished()
    for _ in range(20):
        batcher.put(request())
    assert [len(batcher.take()[1]) for _ in range(3)] == [8, 8, 4], "never more than the maximum"


def test_a_stopped_batcher_refuses_but_gives_out_what_it_has():
    batcher = Batcher(4)
    batcher.put(request())
    batcher.stop()
    with pytest.raises(SchedulerStoppedError, match="stopped accepting"):
        batcher.put(request())
    assert batcher.pending == 1
    assert len(batcher.take()[1]) == 1
    assert batcher.take() is None


def test_every_request_is_given_out_once_under_contention():
    batcher = Batcher(4, preferred=(4,), max_delay_ns=100_000)
    taken: list[list[InferenceRequest]] = []

    def work() -> None:
        while (batch := batcher.take()) is not None:
            taken.append(batch[1])

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    requests = [request() for _ in range(500)]
    for item in requests:
        batcher.put(item)
    batcher.stop()
    for worker in workers:
        worker.join(30)
    given = [id(item) for batch in taken for item in batch]
    assert sorted(given) == sorted(map(id, requests))
    assert all(len(batch) <= 4 for batch in taken)
