"""Tables that are never cut: what a terminal is too narrow for is shown as blocks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from triton_cli.console import out, printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.tree import Tree


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]], empty: str = "") -> None:
    """A table, or a block for each row where a terminal is too narrow for that.

    Args:
        headings: in capital letters; the first column names the row.
        rows: cells may have several lines.
        empty: what to say where there are no rows.
    """
    from rich.table import Table
    from rich.text import Text

    if not rows and empty:
        out().print(empty, markup=False)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))  # names may hold brackets, which are markup in a str
    if print_whole(table):
        return
    console = out()
    width = max(len(heading) for heading in headings[1:]) + 1
    for row in rows:
        console.print(printable(row[0]), style="bold", markup=False)
        for heading, cell in zip(headings[1:], row[1:], strict=True):
            below = "\n" + " " * (width + 2)
            console.print(f"  {heading.lower():<{width}}{printable(cell).replace(chr(10), below)}", markup=False)


def print_whole(renderable: "Tree | Table") -> bool:
    """Print something without cutting it; False where a terminal is too narrow for a table."""
    from rich.console import Console
    from rich.table import Table

    console = out()
    width = console.measure(renderable, options=console.options.update(max_width=10_000)).maximum
    if console.is_terminal and width > console.width:
        if isinstance(renderable, Table):
            return False
        width = console.width
    whole = Console(width=width, highlight=False, emoji=False)
    if console.is_terminal:
        whole.print(renderable)
    else:  # as wide as its widest line: nobody who reads a file wants the blanks
        with whole.capture() as printed:
            whole.print(renderable)
        console.out("\n".join(line.rstrip() for line in printed.get().splitlines()), highlight=False)
    return True


def one_line(text: str) -> str:
    """A text that may not begin a line of its own."""
    return printable(text).replace("\n", "\\n")
