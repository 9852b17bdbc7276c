"""`tcli analyze compare`: two finished analyses side by side."""

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from triton_cli.console import fail, out, printable
from triton_cli.tables import show_table

if TYPE_CHECKING:
    from tcli_analyzer.between import Between


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Folder of an analysis, or its results.json.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Compare two finished analyses of a model: what differs, what each recommends, and which gains changed.

    Only what each has measured in turn is compared: how much faster a configuration is than the current one or the defaults.
    Figures such as infer/s of different runs are not: what the machine did meanwhile is not known.
    """
    from tcli_analyzer.between import between
    from tcli_analyzer.earlier import EarlierError, read_earlier

    try:
        found = between(read_earlier(first), read_earlier(second))
    except EarlierError as error:
        fail(str(error), error.fix)
    if json:
        sys.stdout.write(json_module.dumps(found.document(), indent=2) + "\n")
        return
    _show(found)


def _show(found: "Between") -> None:
    console = out()
    for letter, each, recommended in zip("AB", (found.first, found.second), found.recommended, strict=True):
        started = str(each.document.get("started", ""))[:16].replace("T", " ")
        console.print(printable(f"{letter}  {each.path.parent}, {each.model}, {started}: {recommended}"), markup=False)
    console.print()
    if found.differences:
        show_table(("DIFFERENT", "A", "B"), [(one.what, one.first, one.second) for one in found.differences])
        console.print()
    if found.common:
        rows = [
            (f"{one.configuration} over {one.over}", one.first.text, one.second.text, one.change.value)
            for one in found.common
        ]
        show_table(("GAIN OF", "A", "B", "CHANGE"), rows)
        console.print()
    console.print(printable(found.sentence()), markup=False)
