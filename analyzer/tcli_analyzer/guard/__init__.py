"""The accuracy guard: what a variant of a model answers, against what the original answers to the same inputs.

    guard = Guard({False: workspace.current, True: workspace.rewritten}, "resnet50", subject.current, source, stop)
    if not guard.check([leader])[leader].may_win: ...

Fast and wrong is no gain. Every variant whose numbers may be others (batches, a rewritten graph, another engine, a lower
precision) is asked the same items as the original, alone and in batches as a server forms them, in a process of its own.
"""

from tcli_analyzer.guard.accuracy import Accuracy, Largest, OutputAccuracy
from tcli_analyzer.guard.agreement import Agreement
from tcli_analyzer.guard.check import ITEMS, Guard, GuardOptions
from tcli_analyzer.guard.tolerance import LOWER_PRECISION, ROUNDING, Tolerance

__all__ = [
    "ITEMS",
    "LOWER_PRECISION",
    "ROUNDING",
    "Accuracy",
    "Agreement",
    "Guard",
    "GuardOptions",
    "Largest",
    "OutputAccuracy",
    "Tolerance",
]
