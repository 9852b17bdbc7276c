"""W3C Trace Context as clients send it, and OpenTelemetry's packages where they are not installed."""

import sys

import pytest

from tcli_server.errors import UnavailableError
from tcli_server.tracing.context import read_context
from tcli_server.tracing.options import TraceOptions
from tcli_server.tracing.tracer import Tracer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("parent", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_what_the_standard_allows(parent: str, sampled: bool):
    context = read_context(parent, " a=b,c=d ")
    assert context is not None
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}") == (TRACE, SPAN)
    assert (context.sampled, context.state) == (sampled, "a=b,c=d")
    child = context.child()
    assert child.to_json() == f'{{"traceparent":"00-{TRACE}-{child.span_id:016x}-01","tracestate":"a=b,c=d"}}'
    assert child.span_id != context.span_id


@pytest.mark.parametrize("parent", [
    "", "00", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-01-more", f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}-0x", f"00-{TRACE}-{SPAN}-01\n",
])  # fmt: skip
def test_what_it_does_not(parent: str):
    assert read_context(parent, "a=b") is None


@pytest.mark.parametrize("state", ["a=" + 600 * "b", "a=b\x00", "a=\xe9"])
def test_a_state_that_is_none_is_dropped(state: str):
    context = read_context(f"00-{TRACE}-{SPAN}-01", state)
    assert context is not None
    assert context.state == ""


def test_packages_that_are_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(UnavailableError, match=r"is missing\. Fix: pip install 'tcli\[otel\]'"):
        Tracer(TraceOptions(mode="opentelemetry"))
