"""`tcli backends`: what runs models here, and what brings the rest."""

from typing import Annotated

import typer

from triton_cli.model_view import show_json
from triton_cli.tables import show_table

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def backends(
    json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """List the backends: those that are installed with their versions and devices, and what brings the others.

    \b
    Examples:
      tcli backends
      tcli backends --json
    """
    from tcli_server.backends.listing import list_backends

    found = list_backends()
    if json:
        show_json([one.document() for one in found])
        return
    show_table(
        ("BACKEND", "VERSION", "DEVICES", "MODEL FILES", "INSTALL"),
        [
            (
                one.name,
                one.version or ("-" if one.install or one.problem else "built in"),
                ", ".join(one.devices) or "-",
                ", ".join(one.files) or "none (config.pbtxt)",
                one.problem or one.install or "installed",
            )
            for one in found
        ],
    )
