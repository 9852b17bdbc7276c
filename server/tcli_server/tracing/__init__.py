"""Traces: what happened to a request and when, of one request in so many, to a file or to OpenTelemetry.

`tracer` chooses the requests, `trace` collects what happens to one and to those that follow from it, `collector` takes finished traces
to where they are written (`trace_file`, `opentelemetry`), in a thread of its own.
"""
