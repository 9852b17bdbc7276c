"""What is told of an analysis of several models while it goes on."""

from tcli_analyzer.numbers import short
from tcli_analyzer.together.search import JointFailure, SearchTold
from tcli_analyzer.together.window import clean_ones, part_windows


def told_text(told: SearchTold) -> str:
    """One measurement of all models."""
    clean = clean_ones(told.windows)
    each = []
    for choice in told.arrangement.choices:
        measured = part_windows(clean, choice.model)
        over = ", over its budget" if choice.model in told.over_budget else ""
        each.append(
            f"{choice.label}: {short(measured.throughput)} infer/s, p99 {short(measured.latency_ms(0.99))} ms{over}"
        )
    gain = f"; {100 * told.gain:+.0f} % on weighted average" if told.gain is not None else ""
    disturbed = "" if any(window.is_clean for window in told.windows) else ", DISTURBED"
    return f"{'; '.join(each)}{gain}{disturbed}; {told.seconds_left:.0f} s left"


def failure_text(failure: JointFailure) -> str:
    """What could not be measured."""
    return f"{failure.choice.label}: {failure.reason}"
