"""Fills the report's template."""

import json
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.numbers import short
from tcli_analyzer.recommendation import Point, Recommendation
from tcli_analyzer.report.charts import heat_map, latency_split, throughput_against_latency


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
        "split-concurrency": latency_split(sorted(chosen, key=lambda p: p.concurrency), by_concurrency=True),
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
    measurement = recommendation.chosen.measurement
    tiles = [
        ("throughput", short(measurement.throughput), "infer/s"),
        ("latency p50", short(measurement.latency_ms(50)), "ms"),
        ("latency p99", short(measurement.latency_ms(99)), "ms"),
        ("average batch", f"{measurement.batch_avg:.2g}", f"at concurrency {recommendation.chosen.concurrency}"),
    ]
    if recommendation.gain is not None and not recommendation.keeps_current:
        chance = "beyond the noise" if recommendation.beyond_noise else "within the noise"
        tiles.append(("against current", f"{recommendation.gain:+.0%}", chance))
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
    options = analysis.options.measurement
    return [
        ("objective", analysis.options.goal.describe()),
        ("load", "closed loop in this process: as many requests outstanding as the concurrency says, one item each"),
        ("windows", f"at least {options.interval_ms:g} ms each, the last three merged"),
        (
            "stable",
            f"three windows in a row within {options.stability_percentage:g} % in throughput and average latency",
        ),
        ("latency", "from submitting a request to its reply; no network"),
        ("equivalent", "no further from the best than the best one's own windows are apart (at least 2 %)"),
        ("took", f"{analysis.seconds:.0f} s for {len(analysis.points)} points"),
    ]


def _definitions(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)


def _table(analysis: Analysis, recommendation: Recommendation) -> str:
    with_gpu = any(point.measurement.gpu for point in analysis.points)
    heads = ["configuration", "conc.", "infer/s", "± %", "avg", "p50", "p90", "p95", "p99", "queue", "input", "infer"]
    heads += [
        "output",
        "other",
        "batch",
        "CPU %",
        "others",
        "RSS MiB",
        *(["GPU %", "GPU MiB"] if with_gpu else []),
        "stable",
    ]
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    rows = "".join(_row(point, recommendation, with_gpu) for point in analysis.points)
    return f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"


def _row(point: Point, recommendation: Recommendation, with_gpu: bool) -> str:
    m = point.measurement
    times = [m.latency_avg_ms, *(m.latency_ms(p) for p in (50, 90, 95, 99))]
    parts = [m.queue_ms, m.compute_input_ms, m.compute_infer_ms, m.compute_output_ms, m.other_ms]
    cells = [str(point.concurrency), short(m.throughput), f"{100 * m.throughput_spread / 2:.1f}"]
    cells += [short(value) for value in (*times, *parts)]
    cells += [f"{m.batch_avg:.2g}", f"{m.cpu_percent:.0f}", f"{m.other_cpu_percent:.0f}", f"{m.memory_mib:.0f}"]
    if with_gpu:
        cells += [f"{m.gpu.utilisation_percent:.0f}", f"{m.gpu.memory_mib:.0f}"] if m.gpu else ["", ""]
    marks = []
    if point is recommendation.chosen:
        marks.append("chosen")
    if not m.stable:
        marks.append("unstable")
    label = escape(point.configuration.label) + (" &#9733;" if "chosen" in marks else "")
    body = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    stable = "<td>yes</td>" if m.stable else '<td class="no">no</td>'
    return f'<tr class="{" ".join(marks)}"><th scope="row">{label}</th>{body}{stable}</tr>'
