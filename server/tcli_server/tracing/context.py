"""W3C Trace Context: which trace of its client's a request belongs to, and how that is told on."""

import json
import re
import secrets
from dataclasses import dataclass

PARENT, STATE = "traceparent", "tracestate"
"""The headers, or gRPC metadata, that carry it."""

_SHAPE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_LONGEST_STATE = 512
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Of one span.

    Attributes:
        state: what others wrote in for themselves, to be handed on as it is.
    """

    trace_id: int
    span_id: int
    sampled: bool = True
    state: str = ""

    def child(self) -> "TraceContext":
        """A new span of the same trace."""
        return TraceContext(self.trace_id, _number(64), True, self.state)

    def to_json(self) -> str:
        """As a Python model gets it."""
        carrier = {PARENT: f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.sampled):02x}"}
        if self.state:
            carrier[STATE] = self.state
        return json.dumps(carrier, separators=(",", ":"))


def new_context() -> TraceContext:
    """The first span of a new trace."""
    return TraceContext(_number(128), _number(64))


def read_context(parent: str, state: str) -> TraceContext | None:
    """What a client says; None where it says nothing, or nothing that the standard allows: a new trace begins then."""
    found = _SHAPE.fullmatch(parent)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more):
        return None
    context = TraceContext(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED), _checked(state))
    return context if context.trace_id and context.span_id else None


def _checked(state: str) -> str:
    state = state.strip()
    return state if len(state) <= _LONGEST_STATE and state.isascii() and state.isprintable() else ""


def _number(bits: int) -> int:
    return secrets.randbits(bits) or 1
