"""Sequences at a server: marks over HTTP and gRPC, numbers and texts as ids, and no slot taken when a load is over."""

import threading

import numpy as np
import pytest

import sequence_models
from repositories import write_model
from serve_command import serving
from tcli_analyzer.load import ClosedLoad, OpenLoad, Sequences
from tcli_analyzer.measuring.visit import VisitOptions, visit
from tcli_analyzer.remote import RemoteTarget
from tcli_analyzer.target import SequenceMark
from waiting import until

SLOTS = 4
REQUESTS = [{"INPUT": np.full((1, 1), number, np.int32)} for number in range(6)]
WORDS = [{"INPUT": np.array([b"a", b"b"], np.object_)}]
WORDS_CONFIG = """
backend: "onnxruntime"
max_batch_size: 0
input { name: "INPUT" data_type: TYPE_STRING dims: [ 2 ] }
output { name: "OUTPUT" data_type: TYPE_STRING dims: [ 2 ] }
sequence_batching {
  max_sequence_idle_microseconds: 3600000000
  state { input_name: "OLD" output_name: "NEW" data_type: TYPE_STRING dims: [ 2 ] }
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("remote")
    config = sequence_models.sums_config("max_sequence_idle_microseconds: 3600000000", max_batch_size=SLOTS)
    write_model(repository, "sums", sequence_models.sums(), config)
    write_model(repository, "words", sequence_models.delayed_strings(), WORDS_CONFIG)
    with serving("--model-repository", repository) as running:
        yield running


@pytest.fixture(params=["HTTP", "gRPC"])
def open_target(server, request):
    return lambda model: RemoteTarget(server.url(request.param), model, protocol=request.param.lower())


@pytest.mark.parametrize("load", [ClosedLoad(7, Sequences(5)), OpenLoad(150, sequences=Sequences(5))])
def test_whole_sequences(open_target, load):
    options = VisitOptions(windows=1, seconds=0.2, requests=30, warm_up_seconds=0.05, longest=1000)
    with open_target("sums") as target:
        (window,) = visit(target, REQUESTS, load, options, threading.Event())
        assert len(window.latencies_ms) >= 30
        answers: list[object] = []
        for number in range(SLOTS):  # as many as there are slots
            target.submit(REQUESTS[0], answers.append, SequenceMark(10_000 + number, start=True, end=True))
        until(lambda: len(answers) == SLOTS, "a slot is still taken")
        assert answers == [None] * SLOTS


def test_texts_as_ids(open_target):
    with open_target("words") as target:
        options = VisitOptions(seconds=0.1, warm_up_seconds=0.02, longest=1000)
        (window,) = visit(target, WORDS, ClosedLoad(2, Sequences(4, prefix="user-")), options, threading.Event())
    assert len(window.latencies_ms) >= 30


def test_a_request_without_its_mark_is_the_servers_complaint(open_target):
    answers: list[object] = []
    with open_target("sums") as target:
        target.submit(REQUESTS[0], answers.append)
        until(lambda: bool(answers))
    assert "correlation" in str(answers[0]).lower()
