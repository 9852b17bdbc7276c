"""A request's one end: what its caller hears, in which order, and what is let go."""

import gc
import logging
import weakref

import numpy as np
import pytest

from tcli_server.errors import CancelledError, InternalError
from tcli_server.observability.log import LOG
from tcli_server.observability.statistics import InferenceStatistics
from tcli_server.pending import PendingBytes
from tcli_server.request import FailureReason, InferenceRequest, InferenceResponse


def response(text: str) -> InferenceResponse:
    return InferenceResponse("m", "1", text)


def request(statistics: InferenceStatistics | None = None) -> tuple[InferenceRequest, list[str]]:
    """A request, and what its caller has heard so far: the responses' ids, or the kind of an error."""
    heard: list[str] = []
    made = InferenceRequest("m", {"X": np.zeros(3, np.float32)}, observer=statistics)
    made.reply = lambda answer: heard.append(answer.error.kind.name if answer.error else answer.id)
    return made, heard


def test_responses_come_in_order_and_nothing_after_the_last():
    statistics = InferenceStatistics()
    made, heard = request(statistics)
    assert made.send(response("a"), final=False)
    assert made.send(response("b"), final=False)
    assert not made.ended
    assert made.send(response("c"))
    assert made.ended
    assert not made.send(response("d"))
    assert not made.fail(InternalError("late"))
    assert not made.cancel()
    assert heard == ["a", "b", "c"]
    assert (statistics.success_count, statistics.fail_count) == (1, 0)


def test_what_is_sent_while_the_caller_hears_another_response_comes_after_it():
    """Also where the caller itself ends the request, from within its reply."""
    statistics = InferenceStatistics()
    made, heard = request(statistics)
    hear = made.reply

    def reply(answer: InferenceResponse) -> None:
        if answer.id == "a":
            assert made.send(response("b"), final=False)
            assert made.send(response("c"), final=False)
            assert made.cancel()
            assert not made.send(response("d"))
        hear(answer)

    made.reply = reply
    assert made.send(response("a"), final=False)
    assert heard == ["a", "b", "c", "CANCELLED"]
    assert (statistics.success_count, statistics.failure_count[FailureReason.CANCELED]) == (0, 1)


def test_the_caller_is_told_which_response_is_the_last():
    made, _ = request()
    finals: list[bool] = []
    made.reply = lambda answer: finals.append(answer.final)
    made.send(response("a"), final=False)
    made.send(response("b"))
    assert finals == [False, True]


def test_a_request_that_ended_holds_neither_its_tensors_nor_its_caller():
    class Caller:
        def hear(self, _: InferenceResponse) -> None:
            pass

    made, caller = InferenceRequest("m", {"X": np.zeros(3)}, raw_input=b"abc"), Caller()
    made.reply, gone = caller.hear, weakref.ref(caller)
    made.send(response("a"), final=False)
    assert made.inputs.keys() == {"X"}
    made.fail(InternalError("over"))
    gc.disable()
    try:
        del caller
        assert gone() is None
    finally:
        gc.enable()
    assert (made.inputs, made.raw_input) == ({}, None)
    assert made.begin() is None


def test_an_end_that_cannot_be_recorded_is_logged_and_still_told(caplog: pytest.LogCaptureFixture):
    class Broken:
        def success(self, _: InferenceRequest, end_ns: int) -> None:
            raise ValueError(f"recorded at {end_ns}")

    made, heard = request()
    made.observer = Broken()
    LOG.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.ERROR, LOG.name):
            assert made.send(response("a"))
    finally:
        LOG.removeHandler(caplog.handler)
    assert heard == ["a"]
    assert made.inputs == {}
    assert "the end of a request to 'm' could not be recorded" in caplog.text


def test_only_what_waits_can_be_cancelled_if_the_caller_wants_it_so():
    made, heard = request()
    assert made.begin() is made.inputs
    assert not made.cancel(only_waiting=True)
    assert not made.ended
    assert made.cancel()
    assert heard == ["CANCELLED"]
    waiting, heard = request()
    assert waiting.cancel(only_waiting=True)
    assert heard == ["CANCELLED"]


def test_bytes_are_held_from_acceptance_to_the_end_and_never_counted_twice():
    budget = PendingBytes(100)
    large, _ = request()
    large.inputs = {"X": np.zeros(200, np.uint8)}
    assert budget.charge(large), "a single request is taken, however large"
    assert budget.charge(large)
    assert budget.held == 200
    small, _ = request()
    assert not budget.charge(small)
    assert str(budget.refusal(small)).startswith("requests that wait hold 200 bytes already, of 100")
    assert "this one has 12:" in str(budget.refusal(small))
    large.cancel()
    assert budget.held == 0
    budget.release(large)
    assert budget.held == 0
    raw = InferenceRequest("m", {}, raw_input=bytes(88))
    assert budget.charge(raw)
    assert budget.charge(small), "88 and 12 bytes are just as many as may be held"
    assert budget.held == 100
    assert not budget.charge(InferenceRequest("m", {}, raw_input=b"x"))
    raw.fail(CancelledError("enough"))
    assert small.send(response("a"))
    assert budget.held == 0
