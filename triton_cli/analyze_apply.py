"""`tcli analyze --apply`: the recommendation goes into the user's repository, or it is said why not."""

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triton_cli.console import fail, printable

if TYPE_CHECKING:
    from tcli_analyzer.analysis import Analysis
    from tcli_analyzer.options import AnalysisOptions
    from tcli_analyzer.output import Written
    from tcli_server.repository import ModelFolder

_ALSO = ("plots", "report.md", "results.parquet")
"""What --png, --markdown and --parquet write."""

NOT_APPLIED = "Not applied: the analysis was stopped before its end."


def apply_found(
    analysis: "Analysis", written: "Written", resume: str, say: Callable[..., Any], stop: threading.Event
) -> None:
    """Put it there, if it is a change that was proven.

    Args:
        resume: the command that goes on where nothing is decided.
        stop: set where the user has stopped the command, also once all was measured: then nothing is changed.

    Raises:
        typer.Exit: it cannot be applied; that was told.
    """
    from tcli_analyzer.recommendation import Outcome

    recommendation = analysis.recommendation
    assert recommendation is not None
    if analysis.interrupted or stop.is_set():
        say(NOT_APPLIED)
        return
    if recommendation.outcome is Outcome.UNDECIDED:
        fail("not applied: nothing is decided", f"go on with: {resume}")
    if recommendation.keeps_current:
        say("Nothing to apply: the current configuration is recommended.")
        return
    if not recommendation.may_be_applied:
        fail(f"not applied: {recommendation.sentence()}", f"copy {written.config} yourself if you want it all the same")
    version = written.model_file.parent if written.model_file and written.recommends_model_file else None
    _apply(analysis.subject.folder, written.config, version, say)


def note_end(analysis: "Analysis", written: "Written") -> None:
    """Write into the journal that the analysis has ended with what is written, so that applying it takes no more measuring."""
    from tcli_analyzer.journal import mark_ended

    journal, recommendation = analysis.options.journal, analysis.recommendation
    if (
        journal is not None
        and recommendation is not None
        and recommendation.may_be_applied
        and not analysis.interrupted
    ):
        mark_ended(journal, _ending(written.config, analysis.options))


def has_ended(folder: Path, options: "AnalysisOptions", also: tuple[bool, bool, bool]) -> bool:
    """Whether all that is wanted is in the folder for results, and `note_end` spoke of it, decided by what is wanted now.

    Args:
        also: as of `Settled`.
    """
    from tcli_analyzer.journal import ended_with

    journal = options.journal
    if not options.resume or journal is None or not journal.is_file():
        return False
    if not all((folder / name).exists() for name, is_wanted in zip(_ALSO, also, strict=True) if is_wanted):
        return False
    try:
        json.loads((folder / "results.json").read_bytes())
        return ended_with(journal) == _ending(_recommended(folder, options.model), options)
    except (OSError, ValueError):
        return False


def apply_written(folder: Path, model: "ModelFolder", say: Callable[..., Any]) -> None:
    """Put the recommendation of an analysis that has ended into the repository.

    Raises:
        typer.Exit: it cannot be applied; that was told.
    """
    config = _recommended(folder, model.name)
    version = config.parent / "1"
    _apply(model, config, version if version.is_dir() else None, say)


def _recommended(folder: Path, model: str) -> Path:
    return folder / "recommended" / model / "config.pbtxt"


def _ending(config: Path, options: "AnalysisOptions") -> str:
    """Of a recommendation and what may change from one run to the next, although the measurements stay."""
    digest = hashlib.sha256(repr((options.slo, options.tie, options.tolerance)).encode())
    for path in sorted(path for path in config.parent.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(config.parent)} {content}\n".encode())
    return digest.hexdigest()


def _apply(model: "ModelFolder", config: Path, version: Path | None, say: Callable[..., Any]) -> None:
    from tcli_analyzer.apply import apply_recommendation

    try:
        changes = apply_recommendation(model, config.read_text(encoding="utf-8"), version)
    except OSError as error:  # that of a copied folder has a list of them
        where, why = error.filename or model.path, error.strerror or error.args[0][0][2]
        fail(f"cannot apply: {where}: {why}", f"copy {config} yourself")
    say("Applied:")
    for change in changes:
        say(printable(f"  {change}"), markup=False)
