"""The report of several models: one HTML page, without scripts."""

from collections.abc import Iterable
from html import escape

from tcli_analyzer.numbers import short
from tcli_analyzer.together.analysis import TogetherAnalysis
from tcli_analyzer.together.arrangement import Arrangement
from tcli_analyzer.together.window import JointWindow, clean_ones, part_windows

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; color: #1d2733; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.summary { font-size: 1.1rem; border-left: 4px solid #2a6fdb; padding: .25rem 1rem; background: #f2f6fc }
.wide { overflow-x: auto } table { border-collapse: collapse; min-width: 100% }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #dde3ea; white-space: nowrap }
th:first-child, td:first-child { text-align: left } td:nth-child(2) { text-align: left }
tr.chosen { font-weight: 600; background: #eef7ee } pre { overflow-x: auto; background: #f5f6f8; padding: .75rem }
@media (max-width: 40rem) { th, td { padding: .25rem .35rem } td:nth-child(2) { white-space: normal; min-width: 8rem } }
@media print { body { max-width: none } pre, .wide { overflow: visible; white-space: pre-wrap } th, td { white-space: normal } }
"""


def render_page(analysis: TogetherAnalysis, configs: dict[str, str]) -> str:
    """The whole report.

    Args:
        configs: each model's recommended config.pbtxt.
    """
    recommendation = analysis.recommendation
    assert recommendation is not None
    names = " and ".join(analysis.options.names)
    parts = [
        f"<h1>{escape(names)} together</h1>",
        f"<p>{escape(f'{analysis.started:%Y-%m-%d %H:%M}')}, {escape(analysis.machine.sentence())}</p>",
        f'<p class="summary">{escape(recommendation.sentence())}</p>',
        f"<p>Looked for: {escape(analysis.options.goal.describe())}.</p>",
        "<h2>Finals</h2>",
        _table(_finals(analysis)),
        "<h2>Search, all models under load at the same time</h2>",
        _table(_searched(analysis)),
        "<h2>Notes</h2>",
        f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in analysis.notes)}</ul>",
    ]
    for model, text in configs.items():
        parts.append(f"<h2>{escape(model)}: config.pbtxt</h2><pre>{escape(text)}</pre>")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    title = f"<title>Analysis of {escape(names)}</title>"
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}{title}<style>{_STYLE}</style></head>\n<body>{body}</body></html>\n'


_Row = tuple[bool, tuple[str, ...]]


def _finals(analysis: TogetherAnalysis) -> Iterable[_Row]:
    finals, recommendation = analysis.finals, analysis.recommendation
    assert finals is not None
    assert recommendation is not None
    for name, arrangement in (("now", finals.baseline), ("best found", finals.rival)):
        if arrangement is not None:
            yield from _rows(name, arrangement, finals.windows(arrangement), arrangement == recommendation.chosen)


def _searched(analysis: TogetherAnalysis) -> Iterable[_Row]:
    recommendation = analysis.recommendation
    assert recommendation is not None
    for number, (arrangement, windows) in enumerate(analysis.found.windows.items()):
        yield from _rows(str(number), arrangement, windows, arrangement == recommendation.chosen)


def _rows(name: str, arrangement: Arrangement, windows: list[JointWindow], chosen: bool) -> Iterable[_Row]:
    clean = sum(window.is_clean for window in windows)
    for choice in arrangement.choices:
        measured = part_windows(clean_ones(windows), choice.model)
        if measured.windows:
            cells = (
                f"{name} {choice.model}",
                choice.configuration.label,
                choice.load.label,
                short(measured.throughput),
                short(measured.latency_ms(0.5)),
                short(measured.latency_ms(0.99)),
                f"{measured.batch_avg:.2g}",
                f"{clean}/{len(windows)}",
            )
            yield chosen, cells


def _table(rows: Iterable[_Row]) -> str:
    heads = ("", "configuration", "load", "infer/s", "p50 ms", "p99 ms", "batch", "clean")
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(
        f"<tr{' class=chosen' if chosen else ''}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for chosen, cells in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
