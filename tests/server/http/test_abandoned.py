"""A client that leaves before it has its answer: its inferences are cancelled, and only the running one ever ran."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from held_models import HeldServer, held_server
from http_wire import Wire, post
from tcli_server.serving import ServeOptions
from waiting import until

ABANDONED = 20


@pytest.fixture
def held(tmp_path: Path, loopback: ServeOptions) -> Iterator[HeldServer]:
    with held_server(tmp_path, loopback) as running:
        yield running


def body(number: float) -> bytes:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [number] * 4}
    return json.dumps({"inputs": [tensor]}).encode()


def asked(number: float) -> bytes:
    return post(body(number), "/v2/models/identity/infer")


@pytest.mark.parametrize("leave", ["reset", "close", "half_close"])
def test_abandoned_requests_are_not_run(held: HeldServer, leave: str):
    with contextlib.ExitStack() as open_until_the_end:
        wires = [open_until_the_end.enter_context(Wire(held.server.http_port)) for _ in range(ABANDONED + 1)]
        wires[0].send(asked(1.0))
        held.accepted(running=1, waiting=0)
        for wire in wires[1:]:
            wire.send(asked(2.0))
        held.accepted(running=1, waiting=ABANDONED)
        for wire in wires:
            getattr(wire, leave)()
        until(lambda: held.cancelled == ABANDONED + (leave != "half_close"))
        held.allow(2)
        # Whoever only ended its input may still want what was running already.
        assert leave != "half_close" or wires[0].read().status == 200
        answer = httpx.post(
            f"http://127.0.0.1:{held.server.http_port}/v2/models/identity/infer", content=body(7.0), timeout=60
        )
        assert answer.json()["outputs"][0]["data"] == [7.0] * 4
    assert held.runs == [1.0, 7.0]
    assert held.statistics.success_count + held.statistics.fail_count == ABANDONED + 2
