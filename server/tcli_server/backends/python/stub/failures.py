"""What to say of an exception in a model: one line for the client, the whole traceback for the log."""

from __future__ import annotations

import traceback

_NOT_THE_MODELS = __file__.rpartition("/")[0], "<frozen importlib"


def describe(error: BaseException) -> list[str]:
    """[`Type: text, at file(line): function`, traceback]; the place is where the model's own code failed."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_NOT_THE_MODELS)
    ]
    try:
        text = " | ".join(f"{type(error).__name__}: {error}".splitlines())
    except Exception:
        text = f"{type(error).__name__}: <its __str__ failed>"
    if frames:
        text += f", at {frames[-1].filename}({frames[-1].lineno}): {frames[-1].name}"
    return [text, "".join(traceback.format_exception(type(error), error, error.__traceback__))]
