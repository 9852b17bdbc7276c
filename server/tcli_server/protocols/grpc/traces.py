"""The front end's part of the trace of a request that came over gRPC."""

from tcli_server.protocols.request_headers import Asked
from tcli_server.request import InferenceRequest
from tcli_server.tracing.trace import Trace
from tcli_server.tracing.tracer import Tracer


def begin_trace(tracer: Tracer, request: InferenceRequest, asked: Asked) -> Trace | None:
    """Trace the request if it is one of those; whoever calls closes the trace.

    gRPC gives whole messages, so nobody knows when one began to come.
    """
    trace = tracer.begin(request, asked.trace_parent, asked.trace_state)
    if trace is not None:
        trace.stamp("GRPC_WAITREAD_START", trace.began_ns)
        trace.stamp("GRPC_WAITREAD_END", trace.began_ns)
    return trace
