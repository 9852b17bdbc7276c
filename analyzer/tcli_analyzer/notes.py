"""What a reader of an analysis must know, in sentences."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tcli_analyzer.evidence.neighbours import Neighbours
from tcli_analyzer.machine import Machine
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.subject import Subject
from tcli_server.hardware.cores import usable_cores

if TYPE_CHECKING:
    from tcli_analyzer.analysis import Analysis

THROTTLED_SHARE = 0.01
"""Of the time, from which on a quota is worth a word."""


def model_notes(subject: Subject) -> list[str]:
    """What is known before anything is measured."""
    notes = []
    if subject.placeholder:
        notes.append(
            f"{subject.folder.name} has placeholder weights ({subject.placeholder}): its timings are right, its "
            "answers are not"
        )
    if subject.batchable is not None:
        how = (
            "made batchable in a working copy"
            if subject.batchable.edits
            else "takes batches although its config does not"
        )
        notes.append(f"the model is {how}; checked: {subject.batchable.check.sentence}")
    if subject.not_batchable:
        notes.append(f"batch sizes are not swept, the model cannot be made batchable: {subject.not_batchable}")
    elif subject.wrong_batches:
        notes.append(
            "batches give other answers than single items, so batch sizes above 1 are not recommended: "
            f"{subject.wrong_batches}"
        )
    elif subject.unchecked:
        notes.append(
            "batches could not be compared with single items, so no batch size above the current max_batch_size is tried: "
            f"{subject.unchecked}"
        )
    elif subject.check is not None and subject.batchable is None:
        notes.append(f"checked: {subject.check.sentence}")
    if subject.guessed:
        notes.append(
            f"variable dimensions of {', '.join(subject.guessed)} are measured as 1; --shape NAME:d1,d2 sets others"
        )
    groups = subject.complete.instance_group
    if len(groups) > 1:
        notes.append(f"the model has {len(groups)} instance groups; an instance count applies to each")
    if usable_cores() == 1:
        notes.append("only one core is usable here: load generator and model share it")
    return notes


def result_notes(analysis: "Analysis") -> list[str]:
    """What the measurements themselves say of how far to trust them."""
    notes = [f"not measured: {failure.place}: {failure.reason}" for failure in analysis.failures]
    windows = analysis.windows
    disturbed = [window for window in windows if not window.is_clean]
    if disturbed:
        notes.append(
            f"others disturbed {len(disturbed)} of {len(windows)} windows ({disturbers(analysis)}): they were measured again "
            "where there was time, and no claim rests on them"
        )
    unclean = sum(not point.is_clean for point in analysis.points)
    if unclean:
        notes.append(
            f"{unclean} of {len(analysis.points)} points have no undisturbed window: they can do at least what is shown"
        )
    if windows and all(window.processor is None for window in windows):
        notes.append(
            "what others take of the processor cannot be seen here: comparisons count wins, and take more pairs"
        )
    if windows and not any(window.counters.requests for window in windows):
        notes.append("the server tells no statistics: batches and the parts of latencies are not known")
    throttled = sum(window.processor.throttled for window in windows if window.processor is not None)
    if throttled > THROTTLED_SHARE * sum(window.seconds for window in windows):
        notes.append(
            f"this container's CPU quota held the model back for {throttled:.1f} s: the numbers are those of the quota"
        )
    flawed = {point.place: point.flaw for point in analysis.all_points if point.flaw}
    if flawed:
        place, flaw = next(iter(flawed.items()))
        more = f", and {len(flawed) - 1} more" if len(flawed) > 1 else ""
        notes.append(f"not ranked: {place}: {flaw}{more}")
    if analysis.resumed:
        notes.append(f"{analysis.resumed} windows were measured by an earlier run")
    if analysis.interrupted:
        notes.append("stopped before the end: only the points measured until then count")
    return notes


class Watched(Protocol):
    """What an analysis of whatever kind knows of its neighbours."""

    neighbours: Neighbours
    machine: Machine

    @property
    def windows(self) -> Sequence[Window]: ...


def disturbers(analysis: Watched) -> str:
    """Who took the processor from the measured windows: "up to 1.7 of 2 cores; most: cc1plus 41 s, python3 7 s"."""
    disturbed = [window for window in analysis.windows if not window.is_clean and window.processor is not None]
    if not disturbed:
        return ""
    taken = [
        (window.processor.other + window.processor.steal) / window.seconds
        for window in disturbed
        if window.processor is not None
    ]
    text = f"up to {max(taken):.1f} of {analysis.machine.cores} cores"
    stolen = sum(window.processor.steal for window in disturbed if window.processor is not None)
    busiest = [f"{name} {seconds:.0f} s" for name, seconds in analysis.neighbours.busiest()]
    if stolen > 0.5:
        busiest.append(f"the hypervisor {stolen:.0f} s")
    return f"{text}; most: {', '.join(busiest)}" if busiest else f"{text}; by programs that this system does not show"
