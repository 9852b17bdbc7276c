"""A server under seeded nonsense: it stays up, answers what is right exactly once, and never trips over itself."""

import logging
import os

import pytest

from fuzz.http_requests import Case, cases
from fuzz.seeds import seeds
from http_wire import Response, Wire, get
from tcli_server.serving import Server

PATHS = (
    "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/add_sub", "/v2/models/add_sub/infer", "/v2/models/stats",
    "/v2/models/add_sub/config", "/v2/repository/index", "/v2/models/%00/infer", "/v2/models/a%ff/ready", "/nothing", "/",
)  # fmt: skip
INFERENCE = (
    b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1,16],"data":[%s]},'
    b'{"name":"INPUT1","datatype":"FP32","shape":[1,16],"data":[%s]}]}' % ((b",".join([b"1"] * 16),) * 2)
)
COUNT = int(os.environ.get("FUZZ_REQUESTS", "1500"))
STATUSES = {200, 400, 404, 405, 500, 501}
"""500 is Triton's answer to a body that is no JSON."""


def send(wire: Wire, case: Case) -> None:
    for start, end in zip((0, *case.cuts), (*case.cuts, len(case.data)), strict=True):
        wire.send(case.data[start:end])
    wire.half_close()


def read(wire: Wire, heads: tuple[bool, ...]) -> list[Response]:
    """Every response until the server closes, without those that only tell to continue."""
    responses: list[Response] = []
    while not wire.closed():
        response = wire.read(head=len(responses) < len(heads) and heads[len(responses)])
        if response.status != 100:
            responses.append(response)
    return responses


@pytest.mark.parametrize("seed", seeds(2))
def test_every_valid_request_has_one_answer_and_nothing_breaks_the_server(
    server: Server, caplog: pytest.LogCaptureFixture, seed: int
):
    with caplog.at_level(logging.DEBUG):
        for case in cases(seed, COUNT, PATHS, (INFERENCE, b"{}", b"")):
            with Wire(server.http_port) as wire:
                send(wire, case)
                if case.answers is None:
                    assert wire.rest()[:9] in (b"HTTP/1.1 ", b""), case
                else:
                    responses = read(wire, case.heads)
                    assert len(responses) == case.answers, (case, responses)
                    assert {response.status for response in responses} <= STATUSES, case
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    with Wire(server.http_port) as wire:
        wire.send(get("/v2/health/ready"))
        assert wire.read().status == 200


def test_the_same_seed_gives_the_same_requests():
    assert list(cases(7, 100, PATHS)) == list(cases(7, 100, PATHS))
    assert list(cases(7, 100, PATHS)) != list(cases(8, 100, PATHS))
