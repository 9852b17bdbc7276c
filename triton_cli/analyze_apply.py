"""`tcli analyze --apply`: the recommendation goes into the user's repository, or it is said why not."""

import hashlib
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


def has_ended(folder: Path, options: "AnalysisOptions") -> bool:
    """Whether `note_end` spoke of the recommendation that is in the folder for results, decided by what is wanted now."""
    from tcli_analyzer.journal import ended_with

    config = _recommended(folder, options.model)
    journal = options.journal
    if not options.resume or journal is None or not journal.is_file() or not config.is_file():
        return False
    return ended_with(journal) == _ending(config, options)


def apply_written(folder: Path, model: "ModelFolder", say: Callable[..., Any]) -> None:
    """Put the recommendation of an analysis that has ended into the repository.

    Raises:
        typer.Exit: it cannot be applied; that was told.
    """
    config = _recommended(folder, model.name)
    versions = [path for path in config.parent.iterdir() if path.is_dir()]
    _apply(model, config, versions[0] if versions else None, say)


def _recommended(folder: Path, model: str) -> Path:
    return folder / "recommended" / model / "config.pbtxt"


def _ending(config: Path, options: "AnalysisOptions") -> str:
    """Of a recommendation and what may change from one run to the next, although the measurements stay."""
    decided_by = repr((options.slo, options.tie, options.tolerance)).encode()
    return hashlib.sha256(config.read_bytes() + decided_by).hexdigest()


def _apply(model: "ModelFolder", config: Path, version: Path | None, say: Callable[..., Any]) -> None:
    from tcli_analyzer.apply import apply_recommendation

    try:
        changes = apply_recommendation(model, config.read_text(encoding="utf-8"), version)
    except OSError as error:
        fail(f"cannot apply: {error.filename}: {error.strerror}", f"copy {config} yourself")
    say("Applied:")
    for change in changes:
        say(printable(f"  {change}"), markup=False)
