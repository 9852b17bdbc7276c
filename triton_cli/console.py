"""How every command talks: answers on stdout, everything else on stderr, one message per mistake."""

import errno
import os
import sys
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

EXIT_WRONG = 2
"""For wrong arguments, what they name among them."""


@cache
def out() -> "Console":
    """The console for a command's answer (stdout)."""
    return _console(stderr=False)


@cache
def err() -> "Console":
    """The console for progress, warnings and errors (stderr)."""
    return _console(stderr=True)


def _console(stderr: bool) -> "Console":
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)
    console.on_broken_pipe = partial(_on_broken_pipe, console)  # type: ignore[method-assign]
    return console


def _on_broken_pipe(console: "Console") -> None:
    silence(console)
    if not _outlives_readers:
        raise SystemExit(1)


_outlives_readers = False


def outlive_readers() -> None:
    """From now on the command goes on when nobody reads what it says any more, as after `| head`: what is to be done, such as
    writing a table of results or serving, still is."""
    global _outlives_readers
    _outlives_readers = True


def silence(console: "Console") -> None:
    """Say nothing more there: it would only fail again, at the latest when what is buffered is written at the end."""
    console.quiet = True
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), console.file.fileno())


def answer(text: str) -> None:
    """Print to stdout, as it is, an answer that is for programs."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        out().on_broken_pipe()


def is_of_output(problem: OSError) -> bool:
    """Whether what is printed cannot be written, as its disk is full: a problem with a file names that file."""
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


class FailedError(typer.Exit):
    """A command ends, and has said why.

    Attributes:
        message: what it has said.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(status)
        self.message = message


def fail(message: str, fix: str | None = None, status: int = 1) -> NoReturn:
    """Print one error, and how to fix it, to stderr and end the command.

    Raises:
        FailedError: always, with the status.
    """
    console = err()
    console.print("[bold red]error:[/]", end=" ")
    console.print(printable(message), markup=False)
    if fix:
        console.print("  fix:", printable(fix), markup=False)
    raise FailedError(message, status)
