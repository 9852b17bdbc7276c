"""Everything that was measured, with the stage that it was measured for."""

from dataclasses import dataclass
from enum import StrEnum

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.disturbance import Disturbance
from tcli_analyzer.load import OpenLoad
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.point import Point
from tcli_analyzer.rate.found import RateProbe


class Stage(StrEnum):
    """What a point was measured for."""

    SEARCH = "search"
    CHECK = "check"
    """To judge predictions."""
    FINAL = "final"
    """In turn with its rivals: what is claimed comes from these alone."""
    RATE = "rate"
    """A probe of a search for the highest rate."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A point and its stage.

    Attributes:
        probe: that it is; None outside of a search for a rate.
    """

    stage: Stage
    point: Point
    probe: RateProbe | None = None


def samples(analysis: Analysis) -> list[Sample]:
    """In the order of the stages, each in the order in which it was measured."""
    found = [Sample(Stage.SEARCH, point) for point in analysis.points]
    found += [Sample(Stage.CHECK, point) for point in analysis.checks]
    if analysis.finals is not None:
        found += [Sample(Stage.FINAL, point) for point in analysis.finals.points]
    for configuration, rate in analysis.rates.items():
        found += [
            Sample(Stage.RATE, _point(configuration, probe, analysis), probe)
            for probe in rate.probes
            if probe.windows.windows
        ]
    return found


def _point(configuration: Configuration, probe: RateProbe, analysis: Analysis) -> Point:
    options = analysis.options
    load = OpenLoad(probe.rate, options.distribution, options.seed, options.gaps_seconds)
    return Point(configuration, load, probe.windows)


def name_of(configuration: Configuration, model: str) -> str:
    """A configuration's name in files and folders; those without one are the model's own and its defaults."""
    return configuration.name or f"{model}_{'config_default' if configuration.current else 'defaults'}"


def why_not_clean(window: Window) -> str:
    """What speaks against it, for people; empty for a window that a claim may rest on."""
    processor = window.processor
    if window.disturbance is Disturbance.UNOBSERVED or window.is_clean or processor is None:
        return window.flaw
    steal = f", {processor.steal:.2f} s of it the hypervisor" if processor.steal > 0.01 else ""
    return f"others took {100 * processor.lost_share:.1f} % of the processor time{steal}"
