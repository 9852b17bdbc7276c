"""The report as Markdown, for pull requests and wikis."""

from collections.abc import Iterable, Mapping

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.report.facts import Fact, config_title, machine, method, tiles
from tcli_analyzer.report.parts import Section, Table
from tcli_analyzer.report.sections import sections
from tcli_analyzer.summary import answers, costs, other_notes

_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|#~$"})


def render_markdown(analysis: Analysis, config_text: str, pictures: Mapping[str, str]) -> str:
    """The whole report, with plain tables.

    Args:
        analysis: with at least one point.
        config_text: the recommended config.pbtxt.
        pictures: of charts by name, relative to where the text will lie; charts without one are left out.
    """
    recommendation = analysis.recommendation
    assert recommendation is not None
    blocks = [
        f"# Analysis of {_safe(analysis.options.model)}",
        _safe(f"{analysis.started:%Y-%m-%d %H:%M}, {analysis.options.goal.describe()}, {analysis.where}"),
        f"**{_safe(recommendation.sentence())}**",
        *map(_safe, [*costs(analysis), answers(analysis)]),
        _rows(("figure", "value", ""), tiles(recommendation)),
        _items(other_notes(analysis, predictions=False)),
        *(block for section in sections(analysis) for block in _section(section, pictures)),
        f"## {config_title(recommendation)}",
        f"{_fence(config_text)}\n{config_text.rstrip()}\n{_fence(config_text)}",
        "## Machine and method",
        _facts([*machine(analysis), *method(analysis)]),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _section(section: Section, pictures: Mapping[str, str]) -> list[str]:
    shown = [f"![{_safe(chart.alt)}]({pictures[chart.name]})" for chart in section.charts if chart.name in pictures]
    keys = [
        _items(f"{mark}: {words}" for mark, words in chart.key if not mark.startswith("#"))
        for chart in section.charts
        if chart.name in pictures
    ]
    tables = [_table(table) for table in section.tables]
    content = [*shown, *keys, *tables, _items(section.items)]
    return [f"## {_safe(section.title)}", _safe(section.lead), *content] if any(content) else []


def _table(table: Table) -> str:
    return _rows(table.heads, [row.cells for row in table.rows], table.words)


def _rows(heads: Iterable[str], rows: Iterable[Iterable[str]], words: bool = False) -> str:
    names = list(heads)
    rule = [" --- ", *[" --- " if words else " ---: "] * (len(names) - 1)]
    lines = [names, *rows]
    text = ["|" + "|".join(f" {_safe(cell)} " for cell in line) + "|" for line in lines]
    return "\n".join([text[0], "|" + "|".join(rule) + "|", *text[1:]])


def _facts(facts: Iterable[Fact]) -> str:
    return _rows(("fact", "value"), facts, words=True)


def _items(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_safe(text)}" for text in texts)


def _safe(text: str) -> str:
    """Words that stay words."""
    return " ".join(text.translate(_SPECIAL).split())


def _fence(text: str) -> str:
    return "````" if "```" in text else "```"
