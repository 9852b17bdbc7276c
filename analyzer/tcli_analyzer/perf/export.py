"""Every request's times, as perf_analyzer exports them."""

import json
from collections.abc import Sequence
from typing import Any, TextIO

from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.perf.measured import Measured
from tcli_server.version import VERSION


def write_export(file: TextIO, results: Sequence[Measured]) -> None:
    """One JSON document; times in ns since the epoch."""
    json.dump(
        {
            "experiments": [_experiment(result) for result in results],
            "version": VERSION,
            "service_kind": "triton",
            "endpoint": "",
        },
        file,
    )


def _experiment(result: Measured) -> dict[str, Any]:
    boundaries: list[int] = []
    for each in result.windows:
        end = int(each.replies_ns[-1, 1])
        start = end - round(each.window.seconds * 1e9)
        boundaries += [start] if not boundaries else []
        boundaries.append(end)
    return {
        "experiment": _load(result.load),
        "requests": [
            {"timestamp": sent, "response_timestamps": [answered]}
            for each in result.windows
            for sent, answered in each.replies_ns.tolist()
        ],
        "window_boundaries": boundaries,
    }


def _load(load: Load) -> dict[str, Any]:
    if isinstance(load, ClosedLoad):
        return {"mode": "concurrency", "value": load.concurrency}
    return {"mode": "request_rate", "value": load.rate}
