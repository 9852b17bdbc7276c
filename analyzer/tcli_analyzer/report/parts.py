"""What a report consists of, apart from how it is written."""

from dataclasses import dataclass

from tcli_analyzer.report.drawing import Chart


@dataclass(frozen=True)
class Row:
    """Of a table.

    Attributes:
        chosen: it is of what is recommended.
        warns: columns whose cells are to be seen.
    """

    cells: tuple[str, ...]
    chosen: bool = False
    warns: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Table:
    """Words in the first column and numbers in the others, unless all of it is words.

    Attributes:
        extra: columns that a narrow page and paper leave out.
    """

    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    extra: frozenset[int] = frozenset()
    words: bool = False


@dataclass(frozen=True)
class Section:
    """One heading and what is below it.

    Attributes:
        lead: how to read it, a paragraph; may be empty.
        items: sentences, as a list.
    """

    title: str
    lead: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    items: tuple[str, ...] = ()
