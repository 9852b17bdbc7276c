"""What a reader of an analysis must know, in sentences."""

from typing import TYPE_CHECKING

from tcli_analyzer.subject import Subject
from tcli_server.hardware.cores import usable_cores

if TYPE_CHECKING:
    from tcli_analyzer.analysis import Analysis

DISTURBING_CPU_PERCENT = 20


def fix_of(subject: Subject) -> str:
    """What to do about a model that does not answer random requests of the shapes that were taken."""
    options = subject.shape_advice()
    if options:
        names = ", ".join(subject.guessed)
        return f"variable dimensions of {names} were taken as 1; give a shape that the model takes: {options}"
    return (
        "inputs are random numbers, integers 0 or 1: a model that takes only certain values, such as a sample rate, "
        "cannot be analyzed"
    )


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
    notes = [f"not measured: {failure.place}: {failure.message}" for failure in analysis.failures]
    unstable = sum(not point.measurement.stable for point in analysis.points)
    if unstable:
        notes.append(
            f"{unstable} of {len(analysis.points)} points did not become stable: their windows differ by more than "
            f"{analysis.options.measurement.stability_percentage:g} %"
        )
    disturbed = [point for point in analysis.points if point.measurement.other_cpu_percent > DISTURBING_CPU_PERCENT]
    if disturbed:
        worst = max(point.measurement.other_cpu_percent for point in disturbed)
        notes.append(
            f"other processes kept the machine busy during {len(disturbed)} of {len(analysis.points)} points (up to "
            f"{worst:.0f} % of a core): those are slower than they could be, and hard to compare"
        )
    few = sum(point.measurement.requests < 100 for point in analysis.points)
    if few:
        notes.append(
            f"{few} of {len(analysis.points)} points have fewer than 100 requests: p99 is about the slowest one"
        )
    if analysis.interrupted:
        notes.append("stopped before the end: only the points measured until then count")
    return notes
