"""How every command talks: answers on stdout, everything else on stderr, one message per mistake."""

import errno
from functools import cache
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console


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


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_of_output(problem: OSError) -> bool:
    """Whether the disk is full that the output goes to: what names a file is of that, and says so itself."""
    return problem.errno in _FULL and problem.filename is None


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


def fail(message: str, fix: str | None = None) -> NoReturn:
    """Print one error, and how to fix it, to stderr and end the command with exit status 1.

    Raises:
        typer.Exit: always, with code 1.
    """
    console = err()
    console.print("[bold red]error:[/]", end=" ")
    console.print(printable(message), markup=False)
    if fix:
        console.print("  fix:", printable(fix), markup=False)
    raise typer.Exit(1)
