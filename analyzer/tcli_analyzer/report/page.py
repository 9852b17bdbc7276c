"""The report as a page: one file that needs no other and no script."""

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.report.drawing import Chart
from tcli_analyzer.report.facts import Fact, config_title, machine, method, tiles
from tcli_analyzer.report.parts import Row, Section, Table
from tcli_analyzer.report.sections import sections
from tcli_analyzer.summary import answers, costs, other_notes


def render_report(analysis: Analysis, config_text: str) -> str:
    """The whole report as one HTML document.

    Args:
        analysis: with at least one point.
        config_text: the recommended config.pbtxt.
    """
    recommendation = analysis.recommendation
    assert recommendation is not None
    rewritten = analysis.subject.batchable
    edits = [f"changed in the model file: {edit}" for edit in rewritten.edits] if rewritten else []
    *parts, table = sections(analysis)
    template = Template(files("tcli_analyzer.report").joinpath("template.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"Analysis of {analysis.options.model}"),
        when=escape(f"{analysis.started:%Y-%m-%d %H:%M}, {analysis.options.goal.describe()}, {analysis.where}"),
        summary=escape(recommendation.sentence()),
        costs="".join(f"<p>{escape(text)}</p>" for text in filter(None, [*costs(analysis), answers(analysis)])),
        tiles="".join(_tile(*tile) for tile in tiles(recommendation)),
        notes=_items([*other_notes(analysis, predictions=False), *edits]),
        parts="".join(map(_section, parts)),
        config=escape(config_text),
        config_heading=config_title(recommendation),
        machine=_definitions(machine(analysis)),
        method=_definitions(method(analysis)),
        table=_section(table),
    )


def _tile(name: str, value: str, unit: str) -> str:
    return f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b><span>{escape(unit)}</span></div>'


def _section(section: Section) -> str:
    lead = f"<p>{escape(section.lead)}</p>" if section.lead else ""
    body = "".join([*map(_chart, section.charts), *map(_table, section.tables)])
    return f"<section><h2>{escape(section.title)}</h2>{lead}{body}{_items(section.items)}</section>"


def _items(texts: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _chart(chart: Chart) -> str:
    entries = "".join(f"<li>{_mark(mark)}{escape(words)}</li>" for mark, words in chart.key)
    key = f'<ul class="key">{entries}</ul>' if entries else ""
    return f"<figure>{chart.html()}{key}</figure>"


def _mark(mark: str) -> str:
    if mark.startswith("#"):
        return f'<i style="background:{mark}"></i>'
    return f"<b>{escape(mark)}</b>"


def _table(table: Table) -> str:
    def classes(column: int, row: Row | None = None) -> str:
        names = ["x"] if column in table.extra else []
        names += ["no"] if row is not None and column in row.warns else []
        return f' class="{" ".join(names)}"' if names else ""

    def name(column: int) -> str:
        return f' data-name="{escape(table.heads[column])}"' if table.words else ""

    heads = "".join(f"<th{classes(column)}>{escape(name)}</th>" for column, name in enumerate(table.heads))
    rows = "".join(
        f"<tr{' class=chosen' if row.chosen else ''}>"
        + f'<th scope="row"{classes(0, row)}>{escape(row.cells[0])}</th>'
        + "".join(f"<td{classes(at, row)}{name(at)}>{escape(cell)}</td>" for at, cell in enumerate(row.cells) if at)
        + "</tr>"
        for row in table.rows
    )
    kind = "words" if table.words else "numbers"
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _definitions(rows: Iterable[Fact]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
