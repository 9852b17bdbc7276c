"""Traces in files, as NVIDIA's `trace_summary.py` reads them."""

import json
import logging
import os
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc

from tcli_server import Engine
from tcli_server.errors import ServerError
from tcli_server.options import EngineOptions
from tcli_server.request import InferenceRequest
from tcli_server.serving import ServeOptions, Server
from tcli_server.tracing.collector import LostError
from tcli_server.tracing.options import TraceOptions, TraceSettings
from tcli_server.tracing.trace import Trace
from tcli_server.tracing.trace_file import TraceFile
from tcli_server.tracing.tracer import Tracer
from traced_models import write_traced_models

HTTP_FRONT = ["HTTP_RECV_START", "HTTP_RECV_END", "INFER_RESPONSE_COMPLETE", "HTTP_SEND_START", "HTTP_SEND_END"]
GRPC_FRONT = ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "INFER_RESPONSE_COMPLETE", "GRPC_SEND_START", "GRPC_SEND_END"]
QUEUED = ["REQUEST_START", "QUEUE_START"]
COMPUTED = ["COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"]
END = ["REQUEST_END"]


def traces(file: Path) -> dict[int, dict[str, Any]]:
    """By id: what is said of a request, and its timestamps in the order of the file."""
    found: dict[int, dict[str, Any]] = {}
    for one in json.loads(file.read_text()):
        trace = found.setdefault(one["id"], {"times": {}})
        trace.update({name: value for name, value in one.items() if name not in ("id", "timestamps")})
        trace["times"].update({stamp["name"]: stamp["ns"] for stamp in one.get("timestamps", ())})
    return found


def options_of(file: Path | str, **settings: Any) -> TraceOptions:
    return TraceOptions(file=str(file), settings=TraceSettings(**{"level": "TIMESTAMPS", "rate": 1, **settings}))


def body(name: str, identifier: str = "") -> dict[str, Any]:
    return {"id": identifier, "inputs": [{"name": name, "datatype": "FP32", "shape": [1], "data": [1]}]}


def test_requests_and_what_follows_from_them(tmp_path: Path, loopback: ServeOptions):
    file = tmp_path / "trace.json"
    models = write_traced_models(tmp_path / "models")
    with Server(Engine(models, options=EngineOptions(trace=options_of(file))), loopback) as server:
        url = f"http://127.0.0.1:{server.http_port}/v2/models"
        asked = [("telling", "INPUT0"), ("pair", "IN"), ("asking", "INPUT0")]
        assert [httpx.post(f"{url}/{name}/infer", json=body(tensor, name)).status_code for name, tensor in asked] == [
            200
        ] * 3
        assert httpx.post(f"{url}/telling/infer", json={"inputs": []}).status_code == 400
        with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
            given = tritonclient.grpc.InferInput("INPUT0", [1], "FP32")
            client.infer("telling", [given.set_data_from_numpy(np.ones(1, np.float32))], request_id="over grpc")
    found = traces(file)
    by_request = {
        trace.get("request_id", ""): (number, trace) for number, trace in found.items() if "parent_id" not in trace
    }
    for name, front, own in (
        ("telling", HTTP_FRONT, COMPUTED),
        ("pair", HTTP_FRONT, []),
        ("asking", HTTP_FRONT, COMPUTED),
        ("over grpc", GRPC_FRONT, COMPUTED),
    ):
        number, trace = by_request[name]
        assert list(trace["times"]) == [*QUEUED, *own, *END, *front]
        assert (trace["model_name"], trace["model_version"]) == ("telling" if name == "over grpc" else name, 1)
        times = list(trace["times"].values())
        assert times[: len(times) - 5] == sorted(times[: len(times) - 5])
        assert times[-5:] == sorted(times[-5:])
        children = [one for one in found.values() if one.get("parent_id") == number]
        assert len(children) == {"pair": 2, "asking": 1}.get(name, 0)
        for child in children:
            assert child["model_name"] == "telling"
            assert list(child["times"]) == [*QUEUED, *COMPUTED, *END]
            assert trace["times"]["REQUEST_START"] <= child["times"]["REQUEST_START"]
            assert child["times"]["COMPUTE_END"] <= trace["times"]["REQUEST_END"]
    _, failed = by_request[""]
    assert list(failed["times"]) == ["REQUEST_START", *END, *HTTP_FRONT]
    assert len(found) == 8


def trace_some(tracer: Tracer, count: int) -> int:
    """Begin and end requests; how many were traced."""
    traced = 0
    for _ in range(count):
        request = InferenceRequest("telling", {})
        trace = tracer.begin(request)
        request.fail(ServerError("nobody asks it"))
        if trace is not None:
            traced += 1
            trace.close()
    return traced


def test_a_share_of_the_requests_in_files_of_so_many(tmp_path: Path):
    tracer = Tracer(options_of(tmp_path / "trace.json", rate=3, log_frequency=2))
    assert trace_some(tracer, 16) == 5
    tracer.close()
    assert [len(traces(tmp_path / f"trace.json.{index}")) for index in range(3)] == [2, 2, 1]
    assert len(list(tmp_path.iterdir())) == 3


def test_no_more_than_so_many_until_that_is_changed(tmp_path: Path):
    tracer = Tracer(options_of(tmp_path / "trace.json", count=2))
    assert trace_some(tracer, 4) == 2
    tracer.change("", {"count": 1})
    assert trace_some(tracer, 3) == 1
    tracer.change("telling", {"level": "OFF"})
    tracer.change("", {"count": None, "rate": None})
    assert trace_some(tracer, 2) == 0
    tracer.change("telling", {"level": None, "count": -1})
    assert trace_some(tracer, 2) == 2
    tracer.close()
    assert len(traces(tmp_path / "trace.json")) == 5


def test_what_is_kept_of_a_long_id_is_short(tmp_path: Path):
    tracer = Tracer(options_of(tmp_path / "trace.json"))
    request = InferenceRequest("telling", {}, id="x" * 100_000)
    trace = tracer.begin(request)
    request.fail(ServerError("nobody asks it"))
    assert trace is not None
    trace.close()
    tracer.close()
    ((_, found),) = traces(tmp_path / "trace.json").items()
    assert found["request_id"] == "x" * 1024


def test_workers_write_files_of_their_own(tmp_path: Path):
    tracer = Tracer(replace(options_of(tmp_path / "trace.json"), of_process=True))
    trace_some(tracer, 1)
    tracer.close()
    assert [file.name for file in tmp_path.iterdir()] == [f"trace.json.{os.getpid()}"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_costs_traces_and_no_request(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        tracer = Tracer(options_of("/dev/full"))
        assert trace_some(tracer, 3) == 3
        tracer.close()
    assert tracer.lost == 3
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "traces are lost, requests are not concerned: cannot write /dev/full: No space left on device",
        "3 traces were lost",
    ]


def test_more_than_may_wait_are_lost_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    os.mkfifo(tmp_path / "trace.json")  # whoever opens it to write waits for a reader
    with caplog.at_level(logging.INFO):
        tracer = Tracer(options_of(tmp_path / "trace.json"))
        assert trace_some(tracer, 2 * TraceFile.most + 10) == 2 * TraceFile.most + 10
        assert TraceFile.most >= tracer.lost >= 10
    assert len([record for record in caplog.records if "too many wait" in record.getMessage()]) == 1
    os.close(os.open(tmp_path / "trace.json", os.O_RDONLY | os.O_NONBLOCK))
    tracer.close()


def test_what_a_full_disk_left_of_traces_is_cut_off(tmp_path: Path):
    file = tmp_path / "trace.json"
    written: list[Trace] = []

    def finished() -> Trace:
        trace = Trace(0, None, None, written.append)
        request = InferenceRequest("telling", {})
        request.trace = trace.begin(None)
        request.fail(ServerError("nobody asks it"))
        trace.close()
        return written[-1]

    out = TraceFile(str(file))
    out.export([finished()])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 100, limits[1]))
    try:
        with pytest.raises(LostError, match=r"trace\.json: File too large") as lost:
            out.export([finished(), finished()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert lost.value.count == 2
    assert len(traces(file)) == 1
    out.export([finished()])
    out.close()
    assert len(traces(file)) == 2
