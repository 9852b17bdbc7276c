"""The finals, so that every comparison can be made again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.pairs import Comparison
from tcli_analyzer.finals import Finals
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.point import Point


@dataclass(frozen=True)
class Duel:
    """Two finalists that were compared.

    Attributes:
        ratios: of each pair, `one` over `other`; above 1 where it is better.
    """

    one: Point
    other: Point
    compared: Comparison
    ratios: tuple[float, ...]


def duels(finals: Finals, default: Configuration | None) -> Iterator[Duel]:
    """Each finalist against the first, and against the model's defaults where these are another one."""
    if not finals.points:
        return
    first = finals.points[0]
    plain = finals.of(default) if default is not None else None
    for other in (first, *([plain] if plain is not None and plain is not first else [])):
        for one in finals.points:
            if one is not other and not (other is plain and one is first):
                ratios = finals.race.ratios(one.configuration.label, other.configuration.label, finals.goal.value)
                yield Duel(one, other, finals.compare(one, other), tuple(ratios))


def finals_json(finals: Finals, default: Configuration | None) -> dict[str, Any]:
    """Every window of every round, and every comparison with its pairs."""
    return {
        "seconds": round(finals.seconds, 1),
        "dropped_windows": finals.race.dropped,
        "windows": finals.race.total,
        "interrupted": finals.interrupted,
        "comparisons": [
            {
                "configuration": duel.one.configuration.label,
                "against": duel.other.configuration.label,
                "verdict": duel.compared.verdict.value,
                "pairs": duel.compared.pairs,
                "percent": 100 * duel.compared.gain,
                "low_percent": 100 * duel.compared.low,
                "high_percent": 100 * duel.compared.high,
                "by_signs": duel.compared.by_signs,
                "ratios": list(duel.ratios),
            }
            for duel in duels(finals, default)
        ],
        "rounds": [{name: _window(window) for name, window in windows.items()} for windows in finals.race.latest],
    }


def _window(window: Window) -> dict[str, Any]:
    return {
        "began": window.began,
        "throughput_infer_per_s": window.throughput,
        "latency_p99_ms": float(np.percentile(window.latencies_ms, 99)) if window.latencies_ms.size else None,
        "lost_processor_share": window.processor.lost_share if window.processor else None,
        "clean": window.is_clean,
    }
