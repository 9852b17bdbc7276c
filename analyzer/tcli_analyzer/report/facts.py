"""The summary's figures, and on what machine and how they were measured."""

from math import isfinite

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.evidence.pairs import LEAST_PAIRS
from tcli_analyzer.numbers import short
from tcli_analyzer.recommendation import Outcome, Recommendation

Fact = tuple[str, str]


def tiles(recommendation: Recommendation) -> list[tuple[str, str, str]]:
    """Name, value and unit of each figure that is shown large; none where nothing is decided."""
    if recommendation.outcome is Outcome.UNDECIDED:
        return [("undecided", "?", "see above")]
    measured = recommendation.chosen.measured
    p99 = measured.percentile(0.99)
    sure = f"ms [{short(p99.low)}, {short(p99.high)}]" if p99.is_known else f"ms, of {measured.requests} requests only"
    found = [
        ("throughput", short(measured.throughput), "infer/s"),
        ("latency p50", short(measured.latency_ms(0.50)), "ms"),
        ("latency p99", short(measured.latency_ms(0.99)), sure),
    ]
    for name, compared in (
        ("over the current", recommendation.gain),
        ("over the defaults", recommendation.over_default),
    ):
        if compared is not None and compared.pairs >= LEAST_PAIRS and isfinite(compared.high):
            span = f"{100 * compared.low:+.0f} to {100 * compared.high:+.0f} %, {compared.pairs} pairs"
            found.append((name, f"{compared.gain:+.0%}", span))
    if measured.memory_mib:
        found.append(("memory", f"{measured.memory_mib:,.0f}", "MiB"))
    if measured.cpu_ms_per_inference is not None:
        found.append(("processor time", short(measured.cpu_ms_per_inference), "ms an inference"))
    return found


def machine(analysis: Analysis) -> list[Fact]:
    """What the numbers were measured on."""
    found = analysis.machine
    rows = [
        ("processor", found.processor),
        ("usable cores", str(found.cores)),
        ("memory", f"{found.memory_gib:.0f} GiB"),
        ("GPU", ", ".join(found.gpus) or "none"),
        ("system", found.system),
        ("software", f"Python {found.python}, ONNX Runtime {found.onnxruntime}, tcli {found.tcli}"),
    ]
    return rows if analysis.where == "this machine" else [("measured", analysis.where), *rows]


def method(analysis: Analysis) -> list[Fact]:
    """How it was measured."""
    options, finals = analysis.options, analysis.finals
    race = (
        f"{finals.race.rounds} round{'s' * (finals.race.rounds != 1)}, A B B A, {finals.seconds:.0f} s"
        if finals is not None
        else "not reached"
    )
    loads = list(dict.fromkeys(point.load.label for point in analysis.points))
    measured = (
        f"{len(analysis.points)} of {analysis.size} points" if analysis.size else f"{len(analysis.points)} points"
    )
    return [
        ("objective", options.goal.describe()),
        *([("rate", f"the highest with {options.slo.text}")] if options.slo is not None else []),
        ("search", f"{options.search.value}: {measured}"),
        ("loads", ", ".join(loads) or "none"),
        ("windows", f"at least {options.window_seconds:g} s each"),
        ("disturbed", "a window of whose processor time others took more than 2 %: measured again, carries no claim"),
        ("latency", "from when a request was due to its answer"),
        ("finals", race),
        ("tie", f"differences up to {100 * options.tie:g} % are none that matters"),
        ("took", f"{analysis.seconds:.0f} s"),
    ]


def config_title(recommendation: Recommendation) -> str:
    """What the shown config.pbtxt is."""
    if recommendation.keeps_current:
        return "Current configuration, kept"
    return "Recommended configuration" if recommendation.may_be_applied else "Nearest configuration"
