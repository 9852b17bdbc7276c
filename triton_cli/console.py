"""How every command talks: answers on stdout, everything else on stderr, one message per mistake."""

from functools import cache
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

EXIT_WRONG = 2
"""For wrong arguments, what they name among them."""


@cache
def out() -> "Console":
    """The console for a command's answer (stdout)."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, emoji=False)


@cache
def err() -> "Console":
    """The console for progress, warnings and errors (stderr)."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def printable(text: str) -> str:
    """Text that comes from files or servers, without what a terminal would obey or an encoding could not write.

    Ends of lines stay.
    """
    return "".join(
        character if character.isprintable() or character == "\n" else character.encode("unicode_escape").decode()
        for character in text
    )


def warn(message: str) -> None:
    """Print one warning line to stderr."""
    err().print("[yellow]warning:[/]", end=" ")
    err().print(printable(message), markup=False)


def fail(message: str, fix: str | None = None, status: int = 1) -> NoReturn:
    """Print one error, and how to fix it, to stderr and end the command.

    Raises:
        typer.Exit: always, with the status.
    """
    console = err()
    console.print("[bold red]error:[/]", end=" ")
    console.print(printable(message), markup=False)
    if fix:
        console.print("  fix:", printable(fix), markup=False)
    raise typer.Exit(status)
