"""Instances that run several batches side by side."""

from scheduled import BATCHING, Answers, Doubling, request, scheduler, submit_all
from tcli_server.backends import Placement
from tcli_server.scheduling import PlacedInstance


class TwoLanes(Doubling):
    lanes = 2

    def __init__(self) -> None:
        super().__init__()
        self.closings = 0

    def close(self) -> None:
        self.closings += 1
        super().close()


def test_as_many_batches_run_at_a_time_as_there_are_lanes():
    instance, answers = TwoLanes(), Answers()
    instance.gate.clear()
    batcher = scheduler("max_batch_size: 1", instance)
    submit_all(batcher, [request(value) for value in range(3)], answers)
    for _ in range(2):
        assert instance.entered.acquire(timeout=60)
    assert batcher.pending == 1
    instance.gate.set()
    got = {float(response.id): response.outputs["Y"].tolist() for response in answers.wait(3)}
    assert got == {0: [[0]], 1: [[2]], 2: [[4]]}
    batcher.stop()
    assert batcher.join(60)


def test_what_is_queued_is_divided_between_the_lanes():
    instance, answers = TwoLanes(), Answers()
    instance.gate.clear()
    batcher = scheduler(BATCHING, instance)
    submit_all(batcher, [request(0), request(0)], answers)  # one each
    for _ in range(2):
        assert instance.entered.acquire(timeout=60)
    submit_all(batcher, [request(value) for value in range(8)], answers)
    instance.gate.set()
    answers.wait(10)
    assert sum(instance.batches) == 10
    batcher.stop()
    assert batcher.join(60)


def test_an_instance_is_closed_once_and_by_the_last_of_its_lanes():
    instance, answers = TwoLanes(), Answers()
    instance.gate.clear()
    batcher = scheduler("max_batch_size: 1", instance)
    submit_all(batcher, [request()], answers)
    assert instance.entered.acquire(timeout=60)
    batcher.stop()
    assert not batcher.join(0.2)
    assert not instance.closed.is_set()
    instance.gate.set()
    answers.wait(1)
    assert batcher.join(60)
    assert instance.closings == 1


def test_lanes_go_and_come_with_their_instance():
    first, second, answers = TwoLanes(), TwoLanes(), Answers()
    batcher = scheduler("max_batch_size: 1", first)
    batcher.resize([PlacedInstance(Placement("m_1", None, 1), second)])
    assert first.closings == 1
    second.gate.clear()
    submit_all(batcher, [request(), request()], answers)
    for _ in range(2):
        assert second.entered.acquire(timeout=60)
    second.gate.set()
    assert [response.outputs["Y"].tolist() for response in answers.wait(2)] == [[[2]], [[2]]]
    batcher.stop()
    assert batcher.join(60)
