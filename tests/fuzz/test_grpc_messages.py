"""Seeded nonsense over gRPC, in calls and in streams: every message is answered fittingly and the server goes on."""

import logging
import os
from itertools import islice

import grpc
import pytest

from fuzz.grpc_messages import grpc_messages
from fuzz.seeds import seeds
from tcli_server.serving import Server

COUNT = int(os.environ.get("FUZZ_REQUESTS", "1200"))
SERVICE = "/inference.GRPCInferenceService"
STATUSES = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
}
"""INTERNAL is the answer to bytes that are no message, see below."""


@pytest.mark.parametrize("seed", seeds(2))
def test_every_call_is_answered_with_a_fitting_status(server: Server, seed: int, caplog: pytest.LogCaptureFixture):
    told = 0
    with caplog.at_level(logging.WARNING), grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        infer = channel.unary_unary(f"{SERVICE}/ModelInfer")
        waiting: list[tuple[grpc.Future, bytes, bool]] = []
        for data, valid in islice(grpc_messages(seed), COUNT // 2):
            waiting.append((infer.future(data, timeout=60), data, valid))
            if len(waiting) == 64:
                told += sum(answered(*one) for one in waiting)
                waiting = []
        told += sum(answered(*one) for one in waiting)
        assert channel.unary_unary(f"{SERVICE}/ServerLive")(b"", timeout=60) == b"\x08\x01"
    assert told == COUNT // 2
    assert [record.message for record in caplog.records if record.exc_info] == []


def answered(call: grpc.Future, data: bytes, valid: bool) -> int:
    """1 for a call whose status fits what was sent."""
    status = call.code()
    assert status in STATUSES, (status, call.details(), data)
    assert not valid or status is grpc.StatusCode.OK, (call.details(), data)
    if status is grpc.StatusCode.INTERNAL:
        assert call.details().startswith("Unable to parse request"), (call.details(), data)
    return 1


@pytest.mark.parametrize("seed", seeds(1, first=3))
def test_a_stream_answers_each_message_in_its_order_and_lives(server: Server, seed: int):
    messages = list(islice(grpc_messages(seed), COUNT // 4))
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stream = channel.stream_stream(f"{SERVICE}/ModelStreamInfer")
        answers = list(stream(iter([data for data, _ in messages]), timeout=300))
    assert len(answers) == len(messages)
    for answer, (data, valid) in zip(answers, messages, strict=True):
        assert (
            not valid or b"add_sub" in answer or b"identity" in answer or b"no_batch" in answer or b"reshaped" in answer
        )
        assert answer, data
