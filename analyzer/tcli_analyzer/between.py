"""Two finished analyses side by side.

Nothing was measured in turn across them: another hour, another neighbour, perhaps another machine. How much two runs differ by chance is
known from neither, so figures are not compared, only what each run has measured in pairs: how much faster a configuration is
than the current one, or than the model's defaults.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from tcli_analyzer.earlier import Earlier
from tcli_analyzer.evidence.pairs import LEAST_PAIRS

CURRENT, DEFAULTS = "current", "defaults"

_SETTINGS = (
    "max_batch_size", "instances", "engine", "provider", "precision", "threads", "queue_delay_us",
    "preferred_batch_sizes", "graph_level",
)  # fmt: skip
_MACHINE = {
    "processor": "processor",
    "cores": "cores",
    "memory_gib": "memory in GiB",
    "gpus": "GPUs",
    "system": "system",
    "python": "Python",
    "onnxruntime": "ONNX Runtime",
    "tcli": "tcli",
}
_ASKED = {
    "where": "measured on",
    "objective": "objective",
    "latency_budget_ms": "latency budget in ms",
    "slo": "objective on rates",
    "search": "search",
}
_DIGESTS = {
    "files": "model files (or their dates)",
    "current": "current configuration",
    "inputs": "inputs",
    "configurations": "configurations that were tried",
    "loads": "loads that were tried",
}


class Change(StrEnum):
    """What the two runs say together."""

    MORE = "more in the second"
    LESS = "less in the second"
    NOT_TOLD = "no difference can be told"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same in both, as text."""

    what: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Gain:
    """Of a configuration over another one in one run, in percent, with the ends of its interval.

    Attributes:
        load: that it was measured under.
    """

    percent: float
    low: float
    high: float
    pairs: int
    load: str

    @property
    def text(self) -> str:
        """For people: "+12 % [+9, +15]"."""
        return f"{self.percent:+.0f} % [{self.low:+.0f}, {self.high:+.0f}]"


@dataclass(frozen=True, slots=True)
class Common:
    """What both runs have measured in pairs.

    Attributes:
        over: `CURRENT` or `DEFAULTS`.
    """

    configuration: str
    over: str
    first: Gain
    second: Gain

    @property
    def change(self) -> Change:
        """Only where the intervals do not meet, more can be said than that nothing can."""
        if self.second.low > self.first.high:
            return Change.MORE
        return Change.LESS if self.second.high < self.first.low else Change.NOT_TOLD


@dataclass(frozen=True)
class Between:
    """What can be said of two analyses together.

    Attributes:
        recommended: what each recommends, for people.
        agree: whether both recommend the same; None where one of them is undecided.
        obstacles: why their gains cannot be compared; empty where they can.
    """

    first: Earlier
    second: Earlier
    differences: tuple[Difference, ...]
    recommended: tuple[str, str]
    agree: bool | None
    common: tuple[Common, ...]
    obstacles: tuple[str, ...]

    def sentence(self) -> str:
        """A few for people."""
        if self.agree is None:
            text = "One of them has decided nothing." if self._decided else "Neither of them has decided anything."
        else:
            text = "Both recommend the same." if self.agree else "They recommend different configurations."
        if self.obstacles:
            return f"{text} Gains cannot be compared: {'; '.join(self.obstacles)}."
        changed = [one for one in self.common if one.change is not Change.NOT_TOLD]
        if not changed:
            return f"{text} No gain differs by more than both runs leave open."
        parts = [
            f"{one.configuration} gains {one.change.value} over the {_REFERENCE[one.over]} "
            f"({one.first.text}, then {one.second.text})"
            for one in changed
        ]
        why = (
            f" What differs may be why: {', '.join(one.what for one in self.differences)}." if self.differences else ""
        )
        return f"{text} {'; '.join(parts)}.{why}"

    @property
    def _decided(self) -> bool:
        return any(_is_decided(one) for one in (self.first, self.second))

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "first": str(self.first.path),
            "second": str(self.second.path),
            "sentence": self.sentence(),
            "differences": [asdict(one) for one in self.differences],
            "recommended": list(self.recommended),
            "agree": self.agree,
            "common": [{**asdict(one), "change": one.change.value} for one in self.common],
            "obstacles": list(self.obstacles),
        }


_REFERENCE = {CURRENT: "current configuration", DEFAULTS: "model's defaults"}


def between(first: Earlier, second: Earlier) -> Between:
    """Put them side by side."""
    obstacles = _obstacles(first, second)
    common = () if obstacles else _common(first, second)
    if not obstacles and not common:
        obstacles = [_why_nothing(first, second)]
    return Between(
        first,
        second,
        _differences(first, second),
        (_recommended(first), _recommended(second)),
        _agree(first, second),
        common,
        tuple(obstacles),
    )


def _obstacles(first: Earlier, second: Earlier) -> list[str]:
    found = []
    if first.model != second.model:
        found.append(f"they are of different models, {first.model} and {second.model}")
    objectives = [one.document.get("objective") for one in (first, second)]
    if objectives[0] != objectives[1]:
        found.append(f"one is of {objectives[0]}, the other of {objectives[1]}")
    return found


def _why_nothing(first: Earlier, second: Earlier) -> str:
    empty = [str(one.path.parent) for one in (first, second) if not _gains(one)]
    if empty:
        return f"{' and '.join(empty)} {'has' if len(empty) == 1 else 'have'} no pairs of windows that prove anything"
    return "no configuration was raced in both against the same one"


def _differences(first: Earlier, second: Earlier) -> tuple[Difference, ...]:
    found = [Difference("model", first.model, second.model)]
    for name, what in _ASKED.items():
        found.append(Difference(what, _text(first.document.get(name)), _text(second.document.get(name))))
    machines = first.part("machine"), second.part("machine")
    for name, what in _MACHINE.items():
        found.append(Difference(what, *(_text(machine.get(name)) for machine in machines)))
    digests = first.part("identity"), second.part("identity")
    for name, what in _DIGESTS.items():
        if all(name in digest for digest in digests) and digests[0][name] != digests[1][name]:
            found.append(Difference(what, "one", "another"))
    return tuple(one for one in found if one.first != one.second)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _recommended(of: Earlier) -> str:
    recommendation = of.part("recommendation")
    outcome, name = recommendation.get("outcome"), str(recommendation.get("configuration", "nothing"))
    if not _is_decided(of):
        if not recommendation:
            return "nothing was measured"
        return f"undecided; {name} stays" if outcome == "undecided" else f"{outcome or 'nothing'}; {name} comes nearest"
    load = recommendation.get("load")
    return f"{name} at {load}" if load else name


def _is_decided(of: Earlier) -> bool:
    return of.part("recommendation").get("outcome") in ("take", "keep")


def _agree(first: Earlier, second: Earlier) -> bool | None:
    if not (_is_decided(first) and _is_decided(second)):
        return None
    one, other = (_key(of, str(of.part("recommendation").get("configuration"))) for of in (first, second))
    return one == other


def _common(first: Earlier, second: Earlier) -> tuple[Common, ...]:
    known, others = _gains(first), _gains(second)
    return tuple(
        Common(label, over, gain, others[key, over, reference][1])
        for (key, over, reference), (label, gain) in known.items()
        if (key, over, reference) in others
    )


_Key = tuple[object, ...]


def _gains(of: Earlier) -> dict[tuple[_Key, str, _Key], tuple[str, Gain]]:
    """By configuration, the kind of the other one, and that itself: its label and its gain, where enough pairs were measured."""
    rows = of.part("finals").get("comparisons")
    found = {}
    for row in rows if isinstance(rows, list) else []:
        label, against = str(row.get("configuration")), str(row.get("against"))
        over = next((kind for kind in (CURRENT, DEFAULTS) if against.startswith(f"{kind} (")), None)
        gain = _gain(row, _load(of, label))
        if over is not None and gain is not None:
            found[_key(of, label), over, _key(of, against)] = label, gain
    return found


def _gain(row: Mapping[str, Any], load: str) -> Gain | None:
    """None where its interval says nothing."""
    values = [row.get(name) for name in ("percent", "low_percent", "high_percent", "pairs")]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return None
    percent, low, high, pairs = (float(value) for value in values if value is not None)
    return Gain(percent, low, high, int(pairs), load) if pairs >= LEAST_PAIRS and low > -100 else None


def _final(of: Earlier, label: str) -> Mapping[str, Any]:
    rows = [row for row in of.rows("points") if row.get("configuration") == label]
    return next((row for row in rows if row.get("stage") == "final"), rows[0] if rows else {})


def _load(of: Earlier, label: str) -> str:
    row = _final(of, label)
    if row.get("request_rate") is not None:
        return f"{row['request_rate']:.4g} requests/s"
    return f"concurrency {row['concurrency']:.0f}" if row.get("concurrency") is not None else ""


def _key(of: Earlier, label: str) -> _Key:
    """What two configurations share that run the same way: their settings where the results have them, as labels say only what
    differs from the model's own configuration, which may have changed."""
    row = _final(of, label)
    return tuple(row.get(name) for name in _SETTINGS) if "engine" in row else (label,)
