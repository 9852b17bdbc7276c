"""What an inference's HTTP headers, or its gRPC metadata, have to say to the model and about the answer."""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from tcli_server.errors import InvalidArgumentError, ServerError
from tcli_server.protocols.texts import short
from tcli_server.request import InferenceRequest
from tcli_server.tracing.context import PARENT, STATE

WANTS_TIMING = "x-server-timing"
"""The header by which a client asks how long its request took in the server."""

_RESERVED = frozenset(
    ("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output")
)
_RESERVED_PREFIX = "triton_"

ERRORS_AS_STATUS = "triton_grpc_error"
"""The metadata by which a client has errors of its stream told as the status of the stream, which ends."""

_LONGEST_TRACE = 1024
"""Characters: longer ones mean nothing (`tracing/context.py`), and are not kept."""

_LONGEST_NAME = 100
"""Characters: Python's `re` may take the square of a name's length, or more, and lets nobody else run meanwhile."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the headers of one request ask for.

    Attributes:
        parameters: headers that the model gets as request parameters.
        timing: the client wants to know how long the request took.
        errors_as_status: an error of one request ends the stream; over gRPC.
        error: a header that cannot be a parameter.
        trace_parent: the W3C context of the client's trace; likewise trace_state.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    timing: bool = False
    error: ServerError | None = None
    trace_parent: str = ""
    trace_state: str = ""
    errors_as_status: bool = False

    def hand_on(self, request: InferenceRequest) -> None:
        """Give the model's request its parameters.

        Raises:
            InvalidArgumentError: one of them is reserved.
        """
        if self.error is not None:
            raise self.error
        if self.parameters:
            request.parameters = {**request.parameters, **self.parameters}


NOTHING_ASKED = Asked()
TIMING_ASKED = Asked(timing=True)


def matcher(pattern: str, option: str, any_case: bool = False) -> Callable[[str], bool]:
    """Tells whether a regular expression of Python's, which knows nearly all of RE2's, is found anywhere in a name; it is found in
    none of more than 100 characters.

    Raises:
        InvalidArgumentError: it is none.
    """
    try:
        compiled = re.compile(pattern, re.IGNORECASE if any_case else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidArgumentError(
            f"{option}: '{pattern}' is no regular expression ({_reason(error)}), expected one that is found in the "
            "names, such as ^x-my-; fix: write a character that is meant as it is with a backslash before it"
        ) from None
    found = lru_cache(256)(lambda name: compiled.search(name) is not None)
    return lambda name: len(name) <= _LONGEST_NAME and found(name)


def _reason(error: Exception) -> str:
    if isinstance(error, re.error) and error.pos is not None:
        return f"{error.msg}, at character {error.pos + 1}"
    return str(error)


class RequestHeaders:
    """Reads headers.

    Args:
        pattern: of names that are handed on, as Triton's `--http-header-forward-pattern` and `--grpc-header-forward-pattern`;
            empty for none.
        option: by which it was given.
        any_case: upper and lower case are the same in it.

    Attributes:
        forwards: whether any are handed on.

    Raises:
        InvalidArgumentError: the pattern is none.
    """

    def __init__(self, pattern: str = "", option: str = "", any_case: bool = False) -> None:
        self.forwards = bool(pattern)
        self._is_forwarded = matcher(pattern, option, any_case)

    def read(self, headers: Iterable[tuple[str, str | bytes]]) -> Asked:
        """What they ask for.

        Args:
            headers: names in lower case, and values; of names that come twice, the last one counts.
        """
        timing, as_status, parameters = False, False, {}
        traced = {PARENT: "", STATE: ""}
        for name, value in headers:
            if name == WANTS_TIMING:
                timing = value == "true"
            elif name in traced:
                traced[name] = str(value) if len(value) <= _LONGEST_TRACE else ""
            elif name == ERRORS_AS_STATUS:
                as_status = as_status or value == "true"
            if self.forwards and isinstance(value, str) and self._is_forwarded(name):
                if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
                    return Asked(
                        error=InvalidArgumentError(f"Header '{short(name)}' is reserved and cannot be forwarded"),
                        errors_as_status=as_status,
                    )
                parameters[name] = value
        if traced[PARENT] or as_status:
            return Asked(parameters, timing, None, traced[PARENT], traced[STATE], as_status)
        return Asked(parameters, timing) if parameters else TIMING_ASKED if timing else NOTHING_ASKED


def server_timing(request: InferenceRequest) -> str:
    """How long parts of a request took until now, in the form of HTTP's `Server-Timing` header: milliseconds.

    What was not there, as a queue before an ensemble or a model behind a cached answer, is left out.
    """
    stamps = (
        ("queue", request.queue_ns, request.compute_start_ns),
        ("compute_input", request.compute_start_ns, request.compute_input_end_ns),
        ("compute_infer", request.compute_input_end_ns, request.compute_output_start_ns),
        ("compute_output", request.compute_output_start_ns, request.compute_end_ns),
        ("total", request.arrival_ns, time.monotonic_ns()),
    )
    return ", ".join(f"{name};dur={(end - begin) / 1e6:.3f}" for name, begin, end in stamps if begin and end)
