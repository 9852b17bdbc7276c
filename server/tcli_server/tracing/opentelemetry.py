"""Traces as OpenTelemetry's spans, over OTLP/HTTP, with Triton's names. Needs the packages of the extra `otel`."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from tcli_server.errors import UnavailableError
from tcli_server.tracing.collector import LostError
from tcli_server.tracing.context import TraceContext
from tcli_server.tracing.options import TraceOptions
from tcli_server.tracing.trace import Stamps, Trace

_SERVICE = "triton-inference-server"
_SCOPE = "triton-server"
_ROOT = "InferRequest"
_COMPUTE = "compute"


class SpanExporter:
    """Sends spans.

    Raises:
        UnavailableError: the packages are not installed.
    """

    def __init__(self, options: TraceOptions) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace.export import SpanExportResult
        except ImportError as error:
            raise UnavailableError(
                f"--trace-config mode=opentelemetry needs OpenTelemetry's packages, of which '{error.name}' is missing. "
                "Fix: pip install 'tcli[otel]'"
            ) from None
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what fails is told once, by the collector
        self._resource = Resource.create({SERVICE_NAME: _SERVICE, **options.resource})
        self._exporter = OTLPSpanExporter(endpoint=options.url or None)
        self._where = f" at {options.url}" if options.url else ""
        self._success = SpanExportResult.SUCCESS
        self.pause_secs = options.bsp_schedule_delay / 1000
        self.most = options.bsp_max_queue_size
        self.enough = options.bsp_max_export_batch_size

    def weight(self, trace: Trace) -> int:
        """As `Exporter.weight`: the spans that it will be."""
        return 1 + 2 * len(trace.requests)

    def export(self, traces: list[Trace]) -> None:
        """As `Exporter.export`: in one batch."""
        batch = [span for trace in traces for span in _Spans(self._resource, trace).all()]
        if self._exporter.export(batch) is not self._success:
            raise LostError(f"the collector{self._where} does not take them", len(traces))

    def hurry(self) -> None:
        """As `Exporter.hurry`."""
        self._exporter.shutdown()

    def close(self) -> None:
        """As `Exporter.close`."""
        self._exporter.shutdown()


class _Spans:
    """Those of one trace. They are made at its end, from its stamps, so that requests have nothing to do with it."""

    def __init__(self, resource: Any, trace: Trace) -> None:
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._resource = resource
        self._scope = InstrumentationScope(_SCOPE)
        self._trace = trace
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def all(self) -> list[Any]:
        """The client's request, each of the requests that followed, and the computing of each."""
        trace = self._trace
        assert trace.context is not None
        begun = min([trace.began_ns, *(ns for _, ns in trace.stamps)])
        spans = [self._span(_ROOT, trace.context, trace.parent, trace.stamps, begun, trace.end_ns)]
        for traced in trace.requests:
            assert traced.context is not None
            computing = [stamp for stamp in traced.stamps if stamp[0].startswith("COMPUTE_")]
            others = [stamp for stamp in traced.stamps if not stamp[0].startswith("COMPUTE_")]
            attributes: dict[str, str | int] = {
                "triton.model_name": traced.model_name,
                "triton.model_version": traced.model_version,
                "triton.trace_id": traced.id,
                "triton.trace_parent_id": traced.parent_id,
            }
            if traced.request_id:
                attributes["triton.request_id"] = traced.request_id
            began, ended = others[0][1], others[-1][1]
            above = traced.parent_context
            spans.append(
                self._span(traced.model_name, traced.context, above, others, began, ended, attributes, traced.failure)
            )
            if computing:
                own = traced.context
                spans.append(self._span(_COMPUTE, own.child(), own, computing, computing[0][1], computing[-1][1]))
        return spans

    def _span(
        self,
        name: str,
        context: TraceContext,
        parent: TraceContext | None,
        stamps: Stamps,
        began_ns: int,
        ended_ns: int,
        attributes: Mapping[str, str | int] | None = None,
        failure: str = "",
    ) -> Any:
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import SpanKind, Status, StatusCode

        offset = self._offset_ns
        return ReadableSpan(
            name=name,
            context=_span_context(context),
            parent=None if parent is None else _span_context(parent),
            resource=self._resource,
            attributes=attributes or {},
            events=[Event(name, timestamp=ns + offset) for name, ns in stamps],
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR, failure) if failure else Status(),
            start_time=began_ns + offset,
            end_time=ended_ns + offset,
            instrumentation_scope=self._scope,
        )


def _span_context(context: TraceContext) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(context.trace_id, context.span_id, False, TraceFlags(int(context.sampled)), state)
