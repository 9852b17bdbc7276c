"""`InferenceTrace`: the trace that a request belongs to."""

from __future__ import annotations


class InferenceTrace:
    """Given to a request that the model builds, it makes that one's trace a child of this.

    Args:
        context: the OpenTelemetry context as JSON text, empty for none.
    """

    __slots__ = ("_context", "_request")

    def __init__(self, context: str = "") -> None:
        self._context = context
        self._request = 0

    @classmethod
    def _of_request(cls, context: str, number: int) -> InferenceTrace:
        """Of a request that the model has got, by its number."""
        trace = cls(context)
        trace._request = number
        return trace

    def get_context(self) -> str | None:
        """The OpenTelemetry context as JSON text; None if the request is not traced."""
        return self._context or None
