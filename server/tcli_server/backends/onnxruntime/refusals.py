"""What to do about a model that ONNX Runtime refuses, by what it says."""

_UPDATE = "update ONNX Runtime, or export it for an older opset"
_REMEDIES = (
    ("Unsupported model IR version", _UPDATE),
    ("is under development and support for this is limited", _UPDATE),
    (
        "Could not find an implementation",
        "convert it to a newer opset (onnx.version_converter), or export it with other data types: ONNX Runtime does not have "
        "every operator for every one",
    ),
    ("is not a registered function", "export it without that operator, which ONNX Runtime does not have"),
)
"""A part of ONNX Runtime's message, and the remedy."""


def remedy(reason: str) -> str:
    """The fix that goes with a reason; for what is not known, to export the model again."""
    return next((fix for part, fix in _REMEDIES if part in reason), "export it again")
