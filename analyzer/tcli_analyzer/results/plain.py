"""Values as JSON has them."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd


def plain(value: Any) -> Any:
    """What is not a finite number becomes None, tuples lists; JSON has neither."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows."""
    return list(json.loads(frame.to_json(orient="records"))) if len(frame) else []
