"""The trace of a request."""


class InferenceTrace:
    """None here."""
