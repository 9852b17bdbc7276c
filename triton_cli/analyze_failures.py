"""Errors of `tcli analyze`, each with what to do about it."""

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from triton_cli.console import EXIT_WRONG, err, fail, is_of_output, printable
from triton_cli.signals import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from tcli_analyzer.options import AnalysisOptions


@contextmanager
def telling(options: "AnalysisOptions", folder: Path, journal: Path | None = None) -> Iterator[None]:
    """Ends the command with one message, whatever comes up.

    Args:
        folder: of the results.
        journal: of what is measured; None for that of the options.

    Raises:
        OSError: the output is full: the whole command says so.
    """
    from tcli_analyzer.data import DataError
    from tcli_analyzer.data.asking import LoadDiedError
    from tcli_analyzer.exports.parquet import ParquetMissingError
    from tcli_analyzer.inputs import UnknownInputError
    from tcli_analyzer.journal import JournalError
    from tcli_analyzer.measuring.watch import Stopped
    from tcli_analyzer.remote.errors import RemoteError
    from tcli_analyzer.searching.tpe import OptunaMissingError
    from tcli_analyzer.space import SpaceError
    from tcli_analyzer.subject import NotAnalyzableError
    from tcli_server.errors import NotFoundError, ServerError

    try:
        yield
    except NotFoundError as error:
        missing = not all(repository.is_dir() for repository in options.repositories)
        fail(str(error), "create one with: tcli repo init, or name yours with --model-repository" if missing else "")
    except (NotAnalyzableError, RemoteError) as error:
        fail(str(error), error.fix)
    except SpaceError as error:
        fail(str(error), error.fix, EXIT_WRONG)
    except DataError as error:
        said = options.inputs or options.shapes  # else it is the model that takes nothing usual
        fail(str(error), error.fix, EXIT_WRONG if said else 1)
    except UnknownInputError as error:
        raise typer.BadParameter(str(error), param_hint="--shape") from None
    except Stopped:
        err().print("stopped before anything was measured")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except JournalError as error:
        fail(str(error))
    except (OptunaMissingError, ParquetMissingError) as error:
        fail(str(error), status=EXIT_WRONG)
    except LoadDiedError as error:  # nor does it load here: looking for more to say would hang or crash this process
        fail(f"model '{options.model}' does not load as it is: {error}")
    except ServerError as error:
        fail(f"model '{options.model}' does not load as it is: {error}", _load_fix(options))
    except OSError as error:
        if is_of_output(error):
            raise
        journal = journal or options.journal
        kept = "; --resume goes on: what was measured is kept" if journal is not None and journal.exists() else ""
        fail(
            f"{error.filename or folder}: {error.strerror}",
            f"free some space, or choose another folder with --output{kept}",
        )


def end_unmeasured(what: str, failures: Iterable[tuple[str, str]], results: Path) -> NoReturn:
    """Ends the command where nothing could be measured, with every reason.

    Args:
        failures: places and reasons.
        results: the file that has them, too.
    """
    for place, reason in failures:
        err().print(printable(f"{place}: {reason}"), markup=False)
    fail(f"{what}; the reasons are above, and in {results}")


def _load_fix(options: "AnalysisOptions") -> str:
    """`repo check`, where that has more to say than the error."""
    from tcli_analyzer.subject import find_model
    from tcli_server.models.check import check_model

    if options.server is not None:
        return ""
    folder = find_model(options.repositories, options.model)
    if not check_model(folder):
        return ""
    repository = shlex.quote(str(folder.path.parent))
    return f"tcli repo check {shlex.quote(options.model)} --model-repository {repository} says what is wrong with it"
