"""The repository that a command of `tcli repo` is about: its option, what may be wrong with it, what to do with it next."""

import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from triton_cli.console import err, fail, out, printable
from triton_cli.signals import EXIT_INTERRUPTED

DEFAULT_REPOSITORY = Path("model_repository")

Repository = Annotated[Path, typer.Option("--model-repository", metavar="DIR", help="The model repository.")]


@contextmanager
def told(repository: Path, overwrite_fix: str = "") -> Iterator[None]:
    """Tell a mistake in one message; end cleanly when interrupted."""
    from tcli_server.errors import AlreadyExistsError, NotFoundError, ServerError

    def interrupt(_: int, __: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except AlreadyExistsError as error:
        fail(str(error), overwrite_fix)
    except NotFoundError as error:
        missing = not os.path.lexists(repository)
        fail(str(error), "write one with 'tcli repo init', or name yours with --model-repository" if missing else None)
    except ServerError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or repository}: {error.strerror or error}")
    except KeyboardInterrupt:
        err().print("interrupted: nothing half-written was left, a download goes on where it was next time")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, previous)


def suggest(command: str, repository: Path) -> None:
    option = "" if repository == DEFAULT_REPOSITORY else f" --model-repository {shlex.quote(str(repository))}"
    out().print(printable(f"\nnext: {command}{option}"), markup=False)
