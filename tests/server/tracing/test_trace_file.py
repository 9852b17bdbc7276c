"""Which traces are written, and what becomes of them where they cannot be."""

import logging
import os
import resource
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tcli_server.errors import ServerError
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.tracing.collector import LostError
from tcli_server.tracing.options import TraceLevel, TraceOptions, TraceSettings
from tcli_server.tracing.tensors import MOST_BYTES
from tcli_server.tracing.trace import Trace
from tcli_server.tracing.trace_file import REQUEST_BYTES, TraceFile
from tcli_server.tracing.tracer import Tracer
from traced_models import read_traces
from waiting import until


def options_of(file: Path | str, **settings: Any) -> TraceOptions:
    return TraceOptions(
        file=str(file), settings=TraceSettings(**{"level": TraceLevel.TIMESTAMPS, "rate": 1, **settings})
    )


def trace_some(tracer: Tracer, count: int, models: Sequence[str] = ("telling",)) -> int:
    """Begin and end requests, to the models in turn; how many were traced."""
    traced = 0
    for number in range(count):
        request = InferenceRequest(models[number % len(models)], {})
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
    assert [len(read_traces(tmp_path / f"trace.json.{index}")) for index in range(3)] == [2, 2, 1]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_response_that_is_cut_off_holds_up_no_later_trace(tmp_path: Path):
    file = tmp_path / "trace.json"
    tracer = Tracer(options_of(file))
    for count in (1, 2):
        request = InferenceRequest("telling", {})
        trace = tracer.begin(request)
        assert trace is not None
        with trace.sending("GRPC"):  # its end is noted when the trace waits to be written already
            request.cancel()
            trace.close()
        until(lambda: file.exists() and len(read_traces(file)) == count)  # noqa: B023
    tracer.close()


def test_models_with_files_of_different_numbers(tmp_path: Path):
    tracer = Tracer(options_of(tmp_path / "trace.json"))
    for model, frequency in (("often", 5), ("seldom", 6)):
        tracer.change(model, {"log_frequency": frequency})
    assert trace_some(tracer, 24, ["often", "seldom"]) == 24
    tracer.close()
    files = [read_traces(tmp_path / f"trace.json.{index}") for index in range(5)]
    assert len(list(tmp_path.iterdir())) == 5
    assert sorted(map(len, files)) == [2, 5, 5, 6, 6]
    assert all(len({trace["model_name"] for trace in traces.values()}) == 1 for traces in files)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell which files are open")
def test_files_that_are_not_full_are_not_kept_open_without_end(tmp_path: Path):
    tracer = Tracer(options_of(tmp_path / "trace.json"))
    models = [f"model{number}" for number in range(100)]
    for number, model in enumerate(models):
        tracer.change(model, {"log_frequency": number + 5})
    before = len([*Path("/proc/self/fd").iterdir()])
    assert trace_some(tracer, 100, models) == 100
    until(lambda: len(list(tmp_path.iterdir())) == 100)
    assert len([*Path("/proc/self/fd").iterdir()]) < before + 20
    tracer.close()
    assert all(len(read_traces(file)) == 1 for file in tmp_path.iterdir())


def test_no_more_than_so_many_until_that_is_changed(tmp_path: Path):
    tracer = Tracer(options_of(tmp_path / "trace.json", count=2))
    assert trace_some(tracer, 4) == 2
    tracer.change("", {"count": 1})
    assert trace_some(tracer, 3) == 1
    tracer.change("telling", {"level": TraceLevel.OFF})
    tracer.change("", {"count": None, "rate": None})
    assert trace_some(tracer, 2) == 0
    tracer.change("telling", {"level": None, "count": -1})
    assert trace_some(tracer, 2) == 2
    tracer.close()
    assert len(read_traces(tmp_path / "trace.json")) == 5


def test_what_is_kept_of_a_long_id_is_short(tmp_path: Path):
    tracer = Tracer(options_of(tmp_path / "trace.json"))
    request = InferenceRequest("telling", {}, id="x" * 100_000)
    trace = tracer.begin(request)
    request.fail(ServerError("nobody asks it"))
    assert trace is not None
    trace.close()
    tracer.close()
    ((_, found),) = read_traces(tmp_path / "trace.json").items()
    assert found["request_id"] == "x" * 1024


@contextmanager
def traced_tensors(
    path: Path, inputs: dict[str, np.ndarray]
) -> Iterator[tuple[InferenceRequest, list[dict[str, str]]]]:
    """A traced request, and the tensors that are in the file in the end."""
    tracer = Tracer(options_of(path, level=TraceLevel.TENSORS))
    request = InferenceRequest("telling", inputs)
    request.queue_ns = 1
    trace = tracer.begin(request)
    assert trace is not None
    told: list[dict[str, str]] = []
    yield request, told
    trace.close()
    tracer.close()
    ((_, found),) = read_traces(path).items()
    told += [tensor for _, tensor in found["tensors"]]


def test_tensors_that_one_trace_cannot_hold_are_left_out(tmp_path: Path):
    large = np.zeros(MOST_BYTES, np.int8)
    inputs = {"LARGE": large, "SMALL": np.arange(3), "HALF": large[: MOST_BYTES // 2]}
    with traced_tensors(tmp_path / "trace.json", inputs) as (request, told):
        for number in range(MOST_BYTES // 1024):
            request.send(InferenceResponse("telling", "1", outputs={"OUT": np.full(1, number)}), final=False)
        request.finish()
    assert [(tensor["data"], tensor["shape"]) for tensor in told[:2]] == [("", f"{MOST_BYTES}"), ("0,1,2", "3")]
    assert told[2]["data"] == ",".join("0" * (MOST_BYTES // 2))
    outputs = [tensor["data"] for tensor in told[3:]]
    assert outputs[:-1] == [str(number) for number in range(len(outputs) - 1)]
    assert MOST_BYTES // 4096 < len(outputs) < MOST_BYTES // 1024


def test_tensors_are_as_they_were(tmp_path: Path):
    outputs = {"OUT": np.arange(2)}
    with traced_tensors(tmp_path / "trace.json", {"IN": np.arange(2)}) as (request, told):
        request.send(InferenceResponse("telling", "1", outputs=outputs))
        outputs["OUT"][:] = 7  # whoever asked may do so
    assert [tensor["data"] for tensor in told] == ["0,1", "0,1"]


def test_no_tensors_of_a_request_that_nobody_wants_any_more(tmp_path: Path):
    with traced_tensors(tmp_path / "trace.json", {"IN": np.arange(2)}) as (request, told):
        request.cancel()
    assert told == []


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
        most = TraceFile.most // REQUEST_BYTES
        assert trace_some(tracer, 2 * most + 10) == 2 * most + 10
        assert tracer.lost >= most + 10  # what is about to be written counts, too
    assert len([record for record in caplog.records if "too many wait" in record.getMessage()]) == 1
    os.close(os.open(tmp_path / "trace.json", os.O_RDONLY | os.O_NONBLOCK))
    tracer.close()


def test_a_pipe_has_one_list(tmp_path: Path):
    os.mkfifo(tmp_path / "trace.json")
    with subprocess.Popen(["cat", tmp_path / "trace.json"], stdout=subprocess.PIPE) as reader:
        tracer = Tracer(options_of(tmp_path / "trace.json"))
        trace_some(tracer, 300)
        tracer.close()
        assert reader.stdout is not None
        (tmp_path / "copy.json").write_bytes(reader.stdout.read())
    assert len(read_traces(tmp_path / "copy.json")) == 300
    assert tracer.lost == 0


def test_what_a_full_disk_left_of_traces_is_cut_off(tmp_path: Path):
    file = tmp_path / "trace.json"
    written: list[Trace] = []

    def finished(elements: int = 1) -> Trace:
        trace = Trace(TraceSettings(TraceLevel.TENSORS), None, None, written.append)
        request = InferenceRequest("telling", {"IN": np.zeros(elements, np.uint8)}, queue_ns=1)
        request.trace = trace.begin(None)
        request.fail(ServerError("nobody asks it"))
        trace.close()
        return written[-1]

    out = TraceFile(str(file))
    out.export([finished()])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room, elements in ((100, 1), (3 << 19, MOST_BYTES // 2)):  # the text of the second is written in parts
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + room, limits[1]))
        try:
            with pytest.raises(LostError, match=r"trace\.json: File too large") as lost:
                out.export([finished(elements), finished(elements)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert lost.value.count == 2
        assert len(read_traces(file)) == 1
    out.export([finished(MOST_BYTES // 2), finished()])
    out.close()
    assert [len(trace["tensors"][0][1]["data"]) for trace in read_traces(file).values()] == [1, MOST_BYTES - 1, 1]
