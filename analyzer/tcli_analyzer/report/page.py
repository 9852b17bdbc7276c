"""Fills the report's template."""

import json
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.evidence.pairs import LEAST_PAIRS
from tcli_analyzer.numbers import short
from tcli_analyzer.point import Point
from tcli_analyzer.recommendation import Outcome, Recommendation
from tcli_analyzer.report.charts import heat_map, latency_split, load_order, throughput_against_latency


def render_report(analysis: Analysis, config_text: str) -> str:
    """The whole report as one HTML document: plotly.js and all data inside, no request to anywhere.

    Args:
        analysis: with at least one point.
        config_text: the recommended config.pbtxt.
    """
    from plotly.offline import get_plotlyjs

    recommendation = analysis.recommendation
    assert recommendation is not None
    points = analysis.points
    goal = analysis.options.goal
    chosen = [p for p in points if recommendation.chosen.configuration in (p.configuration, *p.same)]
    figures = {
        "throughput-latency": throughput_against_latency(points, recommendation, goal),
        "heat-map": heat_map(points, goal),
        "split-configurations": latency_split(list(recommendation.ranking), by_concurrency=False),
        "split-concurrency": latency_split(sorted(chosen, key=lambda p: load_order(p.load)), by_concurrency=True),
    }
    template = Template(files("tcli_analyzer.report").joinpath("template.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"Analysis of {analysis.options.model}"),
        model=escape(analysis.options.model),
        when=escape(f"{analysis.started:%Y-%m-%d %H:%M}"),
        summary=escape(recommendation.sentence()),
        tiles=_tiles(recommendation),
        notes="".join(f"<li>{escape(note)}</li>" for note in _notes(analysis)),
        config=escape(config_text),
        config_heading="Current configuration, kept" if recommendation.keeps_current else "Recommended configuration",
        machine=_definitions(_machine(analysis)),
        method=_definitions(_method(analysis)),
        chosen=escape(recommendation.chosen.configuration.label),
        table=_table(analysis, recommendation),
        figures=json.dumps(figures).replace("<", "\\u003c"),
        plotly=get_plotlyjs(),
    )


def _tiles(recommendation: Recommendation) -> str:
    measured = recommendation.chosen.measured
    tiles = [
        ("throughput", short(measured.throughput), "infer/s"),
        ("latency p50", short(measured.latency_ms(0.50)), "ms"),
        ("latency p99", short(measured.latency_ms(0.99)), f"ms, of {measured.requests} requests"),
        ("average batch", f"{measured.batch_avg:.2g}", f"at {recommendation.chosen.load.label}"),
    ]
    if recommendation.outcome is Outcome.UNDECIDED:
        tiles = [("undecided", "?", "see the summary")]
    for name, compared in (("against current", recommendation.gain), ("against defaults", recommendation.over_default)):
        if compared is not None and compared.pairs >= LEAST_PAIRS and tiles[0][0] != "undecided":
            span = f"{100 * compared.low:+.0f} to {100 * compared.high:+.0f} %, {compared.pairs} pairs"
            tiles.append((name, f"{compared.gain:+.0%}", span))
    return "".join(
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b><span>{escape(unit)}</span></div>'
        for name, value, unit in tiles
    )


def _notes(analysis: Analysis) -> list[str]:
    rewritten = analysis.subject.batchable
    edits = [f"changed in the model file: {edit}" for edit in rewritten.edits] if rewritten else []
    return [*analysis.notes, *edits]


def _machine(analysis: Analysis) -> list[tuple[str, str]]:
    machine = analysis.machine
    return [
        ("processor", machine.processor),
        ("usable cores", str(machine.cores)),
        ("memory", f"{machine.memory_gib:.0f} GiB"),
        ("GPU", ", ".join(machine.gpus) or "none"),
        ("system", machine.system),
        ("software", f"Python {machine.python}, ONNX Runtime {machine.onnxruntime}, tcli {machine.tcli}"),
    ]


def _method(analysis: Analysis) -> list[tuple[str, str]]:
    options = analysis.options
    finals = analysis.finals
    race = f"{finals.race.rounds} rounds, A B B A, {finals.seconds:.0f} s" if finals is not None else "not reached"
    return [
        ("objective", options.goal.describe()),
        ("load", "closed loop: as many requests outstanding as the concurrency says, one item each"),
        (
            "windows",
            f"at least {options.window_seconds:g} s each",
        ),
        ("disturbed", "a window of whose processor time others took more than 2 %: measured again, carries no claim"),
        ("latency", "from submitting a request to its reply; no network"),
        ("finals", race),
        ("tie", f"differences up to {100 * options.tie:g} % are none that matters"),
        ("took", f"{analysis.seconds:.0f} s, {len(analysis.points)} points"),
    ]


def _definitions(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)


def _table(analysis: Analysis, recommendation: Recommendation) -> str:
    with_gpu = any(point.measured.gpu for point in analysis.points)
    heads = [
        "configuration",
        "load",
        "infer/s",
        "avg",
        "p50",
        "p90",
        "p95",
        "p99",
        "queue",
        "input",
        "infer",
        "output",
        "other",
    ]
    heads += ["batch", "CPU ms", "lost %", "RSS MiB", *(["GPU %", "GPU MiB"] if with_gpu else []), "clean"]
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    finalists = analysis.finals.points if analysis.finals is not None else ()
    rows = "".join(_row(point, recommendation, with_gpu, "final: ") for point in finalists)
    rows += "".join(_row(point, recommendation, with_gpu, "") for point in analysis.points)
    return f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"


def _row(point: Point, recommendation: Recommendation, with_gpu: bool, stage: str) -> str:
    m = point.measured
    times = [m.latency_avg_ms, *(m.latency_ms(share) for share in (0.50, 0.90, 0.95, 0.99))]
    parts = [m.queue_ms, m.compute_input_ms, m.compute_infer_ms, m.compute_output_ms, m.other_ms]
    cells = [point.load.label, short(m.throughput), *(short(value) for value in (*times, *parts))]
    cells += [f"{m.batch_avg:.2g}", short(m.cpu_ms_per_inference) if m.cpu_ms_per_inference is not None else ""]
    cells += [f"{100 * m.lost_share:.1f}" if m.lost_share is not None else "", f"{m.memory_mib:.0f}"]
    if with_gpu:
        cells += [f"{m.gpu.utilisation_percent:.0f}", f"{m.gpu.memory_mib:.0f}"] if m.gpu else ["", ""]
    chosen = point is recommendation.chosen
    label = stage + escape(point.configuration.label) + (" &#9733;" if chosen else "")
    body = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    clean = f"{len(point.windows.clean.windows)}/{len(point.windows.windows)}"
    last = f"<td>{clean}</td>" if point.is_clean else f'<td class="no">{clean}</td>'
    return f'<tr class="{"chosen" if chosen else ""}"><th scope="row">{label}</th>{body}{last}</tr>'
