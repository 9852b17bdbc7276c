"""Results of analyses that nobody has run, as a folder keeps them."""

import json
from pathlib import Path
from typing import Any

from tcli_analyzer.prediction.service import Entry, ServiceTimes
from tcli_analyzer.prediction.stored import StoredTable, StoredTables, write_tables

SERVICE = ServiceTimes({1: Entry(0.010), 8: Entry(0.045)}, slowdown=(1.0, 1.5))
TABLES = StoredTables(
    (
        StoredTable("batch 8, 1 instance", 1, SERVICE),
        StoredTable("current (batch 8, 2 instances), no delay", 2, SERVICE),
    ),
    open_factor=1.2,
    errors={"throughput": 0.03, "p50": 0.05, "p99": 0.10},
)
MACHINE = {
    "processor": "Imagined CPU",
    "cores": 2,
    "memory_gib": 8.0,
    "gpus": [],
    "system": "Linux 6.1",
    "python": "3.12.1",
    "onnxruntime": "1.20.0",
    "tcli": "1.0",
}


def gain(percent: float, low: float, high: float, pairs: int = 9) -> dict[str, Any]:
    """How a configuration compares with another, as results have it."""
    verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
    return {
        "percent": percent,
        "low_percent": low,
        "high_percent": high,
        "pairs": pairs,
        "verdict": verdict,
        "by_signs": False,
    }


def results(model: str = "m", **more: Any) -> dict[str, Any]:
    """A document; recommends batch 8 over the current configuration."""
    document: dict[str, Any] = {
        "model": model,
        "started": "2026-01-02T10:00:00+00:00",
        "objective": "throughput",
        "latency_budget_ms": None,
        "where": "this machine",
        "search": "quick",
        "machine": MACHINE,
        "points": [
            {"stage": "search", "configuration": "batch 8, 1 instance", "concurrency": 4, "request_rate": None},
            {"stage": "search", "configuration": "batch 8, 1 instance", "concurrency": 16, "request_rate": None},
        ],
        "prediction": {"tables": write_tables(TABLES)},
        "recommendation": {
            "outcome": "take",
            "configuration": "batch 8, 1 instance",
            "load": "concurrency 16",
            "gain_over_current": gain(40.0, 35.0, 45.0),
            "gain_over_defaults": None,
        },
    }
    return document | more


def write_results(folder: Path, document: dict[str, Any]) -> Path:
    """Into its folder, which is answered."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document))
    return folder
