"""Everything as it is against the best arrangement, both measured in turn while all models run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tcli_analyzer.bench.together import CannotMeasureTogetherError, TogetherBench
from tcli_analyzer.evidence.disturbance import Disturbance
from tcli_analyzer.evidence.pairs import Comparison, compare
from tcli_analyzer.evidence.race import Contender, Race, race
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.together.arrangement import Arrangement
from tcli_analyzer.together.goal import JointGoal
from tcli_analyzer.together.window import JointWindow

_BASELINE, _RIVAL = "current", "best"


@dataclass(frozen=True)
class JointFinals:
    """What came out.

    Attributes:
        rival: None where nothing was to be raced.
        seconds: from the first window to the last.
        failure: what could not be measured again, and why; empty if all could.
        interrupted: the user stopped it.
    """

    baseline: Arrangement
    rival: Arrangement | None
    race: Race
    goal: JointGoal
    tie: float
    seconds: float = 0.0
    failure: str = ""
    interrupted: bool = False

    def windows(self, arrangement: Arrangement) -> list[JointWindow]:
        """Of a finalist, disturbed ones among them."""
        name = _RIVAL if arrangement is self.rival else _BASELINE
        return [window for window in self.race.windows.get(name, []) if isinstance(window, JointWindow)]

    def gain(self) -> Comparison:
        """Of the rival over the baseline, all models together."""
        return self._compare(self.goal.value, 1)

    def gain_of(self, model: str) -> Comparison:
        """The same of one model."""
        return self._compare(self.goal.value_of(model), len(self.goal.goals))

    def _compare(self, value: Callable[[Window], float], rivals: int) -> Comparison:
        ratios = self.race.ratios(_RIVAL, _BASELINE, value) if self.rival is not None else []
        windows = [window for each in self.race.windows.values() for window in each]
        unobserved = any(window.disturbance is Disturbance.UNOBSERVED for window in windows)
        return compare(ratios, rivals, self.tie, unobserved)


def run_joint_finals(
    bench: TogetherBench,
    baseline: Arrangement,
    rival: Arrangement | None,
    goal: JointGoal,
    options: VisitOptions,
    tie: float,
    seconds: float,
    watch: Callable[[Race, float], None] = lambda _, __: None,
    clock: Callable[[], float] = time.monotonic,
) -> JointFinals:
    """Race, A B, B A, ...; the baseline alone, to know its speed, where there is no rival.

    Args:
        options: of each window.
        seconds: after which no new round begins.
        watch: told after each round how it stands, and the seconds left at most.
    """
    finals = JointFinals(baseline, rival, Race(), goal, tie)
    began = clock()

    def goes_on(so_far: Race) -> bool:
        left = began + seconds - clock()
        watch(so_far, max(0.0, left))
        return left > 0

    def measure(arrangement: Arrangement) -> Callable[[int], Window]:
        return lambda _: bench.visit(arrangement, replace(options, windows=1))[0]

    contenders = [Contender(_BASELINE, measure(baseline))]
    if rival is not None:
        contenders.append(Contender(_RIVAL, measure(rival)))
    bench.hold([baseline, *([rival] if rival is not None else [])])
    interrupted, failure = False, ""
    try:
        race(contenders, goal.value, goes_on, tie, finals.race)
    except Stopped:
        interrupted = True
    except CannotMeasureTogetherError as error:
        failure = f"{error.choice.label}: {error}"
    return replace(finals, seconds=clock() - began, failure=failure, interrupted=interrupted)
