"""The front end's part of the trace of a request that came over HTTP."""

from tcli_server.protocols.http.exchange import Exchange
from tcli_server.request import InferenceRequest
from tcli_server.tracing.context import PARENT, STATE
from tcli_server.tracing.trace import Trace
from tcli_server.tracing.tracer import Tracer

_PARENT, _STATE = PARENT.encode(), STATE.encode()


def begin_trace(tracer: Tracer, request: InferenceRequest, exchange: Exchange) -> Trace | None:
    """Trace the request if it is one of those, from the receiving of its body; whoever calls closes the trace."""
    headers = exchange.headers
    parent = headers.get(_PARENT, b"")
    trace = tracer.begin(
        request, parent.decode("latin-1"), headers.get(_STATE, b"").decode("latin-1") if parent else ""
    )
    if trace is not None:
        trace.stamp("HTTP_RECV_START", exchange.body_begun_ns or trace.began_ns)
        trace.stamp("HTTP_RECV_END", exchange.body_ended_ns or trace.began_ns)
    return trace
