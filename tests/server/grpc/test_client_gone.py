"""A client that leaves before it has its answer: its requests are cancelled, and only the running one ever ran."""

import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from held_models import HeldServer, connected, held_server, identity, number_of
from tcli_server.serving import ServeOptions
from waiting import until

ABANDONED = 60


@pytest.fixture
def held(tmp_path: Path, loopback: ServeOptions) -> Iterator[HeldServer]:
    with held_server(tmp_path, loopback) as running:
        yield running


def cancelled_behind_the_running_one(held: HeldServer, count: int) -> None:
    """All `count` requests are counted as cancelled, and a request that comes later finds the way free."""
    until(lambda: held.cancelled == count)
    held.allow(2)
    with connected(held) as stub:
        assert number_of(stub.ModelInfer(identity(7.0), timeout=60)) == 7.0
    assert held.runs == [1.0, 7.0]
    assert (held.statistics.success_count, held.statistics.fail_count) == (1, count)


def cancel(calls: list, channel: grpc.Channel) -> None:  # noqa: ARG001
    for call in calls:
        call.cancel()


def close(calls: list, channel: grpc.Channel) -> None:  # noqa: ARG001
    channel.close()


@pytest.mark.parametrize("leave", [cancel, close])
def test_abandoned_calls_are_not_run(held: HeldServer, leave: Callable):
    channel = grpc.insecure_channel(held.url)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    calls = [stub.ModelInfer.future(identity(1.0))]
    held.accepted(running=1, waiting=0)
    calls += [stub.ModelInfer.future(identity(2.0)) for _ in range(ABANDONED)]
    held.accepted(running=1, waiting=ABANDONED)
    leave(calls, channel)
    cancelled_behind_the_running_one(held, ABANDONED + 1)
    channel.close()


def test_calls_whose_deadline_passes_are_not_run(held: HeldServer):
    with connected(held) as stub:
        assert stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live  # connecting takes none of the calls' time
        running = stub.ModelInfer.future(identity(1.0), timeout=4)
        held.accepted(running=1, waiting=0)
        waiting = [stub.ModelInfer.future(identity(2.0), timeout=4) for _ in range(10)]
        held.accepted(running=1, waiting=10)
        assert {call.code() for call in [running, *waiting]} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    cancelled_behind_the_running_one(held, 11)


CLIENT = """
import sys, grpc
from tritonclient.grpc import service_pb2_grpc
from held_models import identity
stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(sys.argv[1]))
calls = [stub.ModelInfer.future(identity(1.0)) for _ in range(3)]
answers = stub.ModelStreamInfer(iter([identity(1.0)] * 3))
print([call.result() for call in calls], list(answers))
"""


def test_a_client_that_dies_is_a_client_that_left(held: HeldServer):
    with subprocess.Popen([sys.executable, "-c", CLIENT, held.url]) as client:
        held.accepted(running=1, waiting=5)
        client.kill()
    cancelled_behind_the_running_one(held, 6)


def test_what_a_client_that_left_would_have_been_told_is_not_looked_up(held: HeldServer):
    engine, begun, go_on = held.server.engine, threading.Semaphore(0), threading.Event()
    index = engine.repository_index

    def slow_index(ready: bool) -> pb.RepositoryIndexResponse:
        begun.release()
        assert go_on.wait(60)
        return index(ready)

    engine.repository_index = slow_index
    with connected(held) as stub:
        first = stub.RepositoryIndex.future(pb.RepositoryIndexRequest())
        assert begun.acquire(timeout=60)
        large = pb.RepositoryIndexRequest(repository_name="n" * 500_000)
        tracemalloc.start()
        left = [stub.RepositoryIndex.future(large) for _ in range(ABANDONED)]
        answering = held.server._grpc._service._answering
        until(lambda: len(answering) == 1 + ABANDONED)
        cancel(left, None)
        until(lambda: len(answering) == 1)
        until(lambda: tracemalloc.get_traced_memory()[0] < 2_000_000, "what they asked is kept")
        tracemalloc.stop()
        go_on.set()
        assert (
            len(first.result().models) == len(stub.RepositoryIndex(pb.RepositoryIndexRequest(), timeout=60).models) == 2
        )
    assert begun.acquire(blocking=False)  # the last one's
    assert not begun.acquire(blocking=False)


@pytest.mark.parametrize("leave", [cancel, close])
def test_a_stream_that_is_left_takes_all_its_requests_along(held: HeldServer, leave: Callable):
    channel = grpc.insecure_channel(held.url)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    answers = stub.ModelStreamInfer(iter([identity(1.0)] + [identity(2.0)] * 9))
    held.accepted(running=1, waiting=9)
    leave([answers], channel)
    cancelled_behind_the_running_one(held, 10)
    channel.close()


def test_a_stream_left_in_its_middle_leaves_no_word_in_the_log(held: HeldServer, caplog: pytest.LogCaptureFixture):
    with connected(held) as stub:
        answers = stub.ModelStreamInfer(iter([identity(float(number)) for number in range(1, 11)]))
        held.allow(3)
        assert [number_of(next(answers).infer_response) for _ in range(3)] == [1.0, 2.0, 3.0]
        held.accepted(running=4, waiting=6)
        answers.cancel()
        until(lambda: held.cancelled == 7)
    assert held.runs == [1.0, 2.0, 3.0, 4.0]
    assert not caplog.records
