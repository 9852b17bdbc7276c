"""Traces as spans, which a collector takes over OTLP/HTTP."""

import http.server
import logging
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc

from tcli_server import Engine
from tcli_server.options import EngineOptions
from tcli_server.request import InferenceRequest
from tcli_server.serving import ServeOptions, Server
from tcli_server.tracing.options import TraceLevel, TraceOptions, TraceSettings
from tcli_server.tracing.tracer import Tracer
from traced_models import write_traced_models

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=b"}


class Collector:
    """Takes spans; says with which status it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.batches: SimpleQueue[Any] = SimpleQueue()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.status == 200:
                    collector.batches.put(service.ExportTraceServiceRequest.FromString(data))
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def spans(self, count: int) -> list[Any]:
        """The next spans, once there are so many."""
        spans: list[Any] = []
        while len(spans) < count:
            for resource in self.batches.get(timeout=60).resource_spans:
                spans += [span for scope in resource.scope_spans for span in scope.spans]
        assert len(spans) == count
        return spans

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def server(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that traces only what its clients trace."""
    options = ServeOptions(
        http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, allow_metrics=False
    )
    trace = TraceOptions(
        mode="opentelemetry",
        settings=TraceSettings(TraceLevel.TIMESTAMPS, rate=0),
        url=collector.url,
        resource={"deployment": "test"},
        bsp_schedule_delay=20,
    )
    models = write_traced_models(tmp_path_factory.mktemp("traced"))
    with Server(Engine(models, options=EngineOptions(trace=trace)), options) as running:
        yield running


def ask(server: Server, model: str, tensor: str, headers: dict[str, str]) -> str:
    """The context that the model was given."""
    body = {"id": "r", "inputs": [{"name": tensor, "datatype": "FP32", "shape": [1], "data": [1]}]}
    answer = httpx.post(f"http://127.0.0.1:{server.http_port}/v2/models/{model}/infer", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return "".join(chr(int(code)) for code in answer.json()["outputs"][0]["data"])


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_spans_belong_to_their_clients_trace(server: Server, collector: Collector):
    context = ask(server, "telling", "INPUT0", SAMPLED)
    root, request, compute = collector.spans(3)
    assert [span.name for span in (root, request, compute)] == ["InferRequest", "telling", "compute"]
    for span, parent in ((root, bytes.fromhex(PARENT)), (request, root.span_id), (compute, request.span_id)):
        assert (span.trace_id.hex(), span.parent_span_id, span.trace_state) == (TRACE, parent, "a=b")
        assert span.start_time_unix_nano <= span.events[0].time_unix_nano
        assert span.events[-1].time_unix_nano <= span.end_time_unix_nano
    assert context == f'{{"traceparent":"00-{TRACE}-{request.span_id.hex()}-01","tracestate":"a=b"}}'
    told = attributes(request)
    assert told.pop("triton.trace_id") > 0
    assert told == {
        "triton.model_name": "telling", "triton.model_version": 1, "triton.trace_parent_id": 0, "triton.request_id": "r",
    }  # fmt: skip
    assert [event.name for event in request.events] == ["REQUEST_START", "QUEUE_START", "REQUEST_END"]
    assert {event.name for event in compute.events} >= {"COMPUTE_START", "COMPUTE_END"}


def test_what_follows_from_a_request_over_grpc(server: Server, collector: Collector):
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        given = tritonclient.grpc.InferInput("IN", [1], "FP32").set_data_from_numpy(np.ones(1, np.float32))
        client.infer("pair", [given], headers=SAMPLED)
    spans = {span.span_id: span for span in collector.spans(6)}
    assert sorted(span.name for span in spans.values()) == [
        "InferRequest",
        "compute",
        "compute",
        "pair",
        "telling",
        "telling",
    ]
    names = {span.name: {spans[span.parent_span_id].name} for span in spans.values() if span.parent_span_id in spans}
    assert names == {"pair": {"InferRequest"}, "telling": {"pair"}, "compute": {"telling"}}


def test_without_a_sampled_parent_the_rate_decides(server: Server, collector: Collector):
    unsampled = {"traceparent": SAMPLED["traceparent"][:-1] + "0"}
    for headers in ({}, unsampled, {"traceparent": "00-nonsense"}, {"traceparent": f"00-{'0' * 32}-{PARENT}-01"}):
        assert ask(server, "telling", "INPUT0", headers) == ""
    server.engine.change_trace("", {"rate": 1}).result()
    assert ask(server, "telling", "INPUT0", {}).startswith('{"traceparent":"00-')
    server.engine.change_trace("", {"level": TraceLevel.OFF}).result()
    server.engine.change_trace("", {"rate": None}).result()
    server.engine.change_trace("", {"rate": 1, "level": None}).result()
    root, *_ = collector.spans(3)
    assert root.parent_span_id == b""
    failed = httpx.post(
        f"http://127.0.0.1:{server.http_port}/v2/models/telling/infer", json={"inputs": []}, headers=SAMPLED
    )
    assert failed.status_code == 400
    _, request = collector.spans(2)
    assert "expected 1 inputs but got 0" in request.status.message


def test_a_trace_of_more_spans_than_may_wait(collector: Collector):
    options = TraceOptions(
        mode="opentelemetry",
        settings=TraceSettings(TraceLevel.TIMESTAMPS, rate=1),
        url=collector.url,
        bsp_max_queue_size=1,
        bsp_max_export_batch_size=1,
    )
    tracer = Tracer(options)
    request = InferenceRequest("telling", {})
    trace = tracer.begin(request)
    assert trace is not None
    request.finish()
    trace.close()
    tracer.close()
    assert len(collector.spans(2)) == 2


def test_a_collector_that_takes_none_costs_traces_and_no_request(
    server: Server, collector: Collector, caplog: pytest.LogCaptureFixture
):
    collector.status = 400
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            ask(server, "telling", "INPUT0", SAMPLED)
        while server.engine.tracer.lost < 3:
            time.sleep(0.01)
        collector.status = 200
        ask(server, "telling", "INPUT0", SAMPLED)
        assert len(collector.spans(3)) == 3
    told = [record.getMessage() for record in caplog.records]
    assert len([text for text in told if text.startswith("traces are lost, requests are not concerned: ")]) == 1
