"""What measurements say nothing of if it differs: a journal is gone on with only where all of it is the same."""

import hashlib
from collections.abc import Mapping
from typing import Any

from tcli_analyzer.ground import Ground
from tcli_analyzer.machine import Machine
from tcli_analyzer.options import AnalysisOptions


def identity_of(ground: Ground, options: AnalysisOptions, machine: Machine) -> Mapping[str, Any]:
    """As JSON values."""
    configurations = [one.config.SerializeToString(deterministic=True) for one in ground.variants.configurations]
    loads = [(items, load) for items, ways in ground.loads.items() for load in ways]
    return {
        "model": options.model,
        "where": ground.where,
        "files": _digest(_files(ground)) if options.server is None else "",
        "inputs": _digest([options.inputs, sorted(ground.source.shapes.items()), options.seed]),
        "current": _digest(configurations[:1]),
        "configurations": _digest(configurations),
        "loads": _digest(loads),
        "search": options.search.value,
        "goal": options.goal.describe(),
        "window": options.window_seconds,
        "processor": machine.processor,
        "cores": machine.cores,
        "tcli": machine.tcli,
    }


def _files(ground: Ground) -> list[tuple[str, int, int]]:
    folder = ground.subject.folder.path
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [
        (str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
        if not path.name.startswith("config.pbtxt.")
    ]


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
