"""`tcli analyze --apply`: the recommendation goes into the user's repository, or it is said why not."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from triton_cli.console import fail, printable

if TYPE_CHECKING:
    from tcli_analyzer.analysis import Analysis
    from tcli_analyzer.output import Written

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
    from tcli_analyzer.apply import apply_recommendation
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
    try:
        changes = apply_recommendation(analysis.subject.folder, written.config.read_text(encoding="utf-8"), version)
    except OSError as error:
        fail(f"cannot apply: {error.filename}: {error.strerror}", f"copy {written.config} yourself")
    say("Applied:")
    for change in changes:
        say(printable(f"  {change}"), markup=False)
