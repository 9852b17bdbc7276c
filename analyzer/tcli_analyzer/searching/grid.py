"""Everything is measured, in rounds."""

from dataclasses import dataclass
from time import monotonic

from tcli_analyzer.bench import Bench
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.searching import SearchWatch
from tcli_analyzer.searching.field import Field, Spot
from tcli_analyzer.searching.found import Found
from tcli_analyzer.searching.points import Points, in_visiting_order
from tcli_analyzer.searching.progress import Progress
from tcli_analyzer.searching.visits import Clock, Ended, Visits

_WINDOW = VisitOptions().seconds
_USUAL_RATE = 50.0


@dataclass(frozen=True)
class GridSearch:
    """Measures every point that can differ.

    Under a latency budget a configuration is not tried at more concurrency once a lower one broke the budget.

    Attributes:
        rounds: over all points, so that a point's windows come from different moments.
        windows: of each point in a round.
        clock: seconds.
    """

    rounds: int = 2
    windows: int = 2
    clock: Clock = monotonic

    def run(self, field: Field, bench: Bench, watch: SearchWatch) -> Found:
        """As `Search.run`."""
        visits = Visits(bench, watch.goes_on, float("inf"), field.items, self.clock)
        points = Points(field)
        options = VisitOptions(windows=self.windows, items=field.items)
        left = self.rounds * len(field.spots)
        each = visits.cost(field.loads[0], options, _USUAL_RATE) if field.loads else 0.0
        progress = Progress(watch, visits)
        progress.plan(len(field.spots), field.size, left * each)
        stopped = False
        bench.hold(())
        try:
            for number in range(self.rounds):
                for spot in in_visiting_order(field.spots, number):
                    left -= 1
                    if visits.has_failed(spot.configuration) or _is_hopeless(spot, points, field):
                        continue
                    progress.begin(spot.label, (left + 1) * each)
                    windows = visits.measure(spot.configuration, spot.load, options)
                    done = self.rounds * len(field.spots) - left
                    each = visits.spent / done
                    if windows:
                        progress.done(points.add(spot, windows), left * each)
        except Ended:
            pass
        except Stopped:
            stopped = True
        progress.tell_failures()
        return Found(
            points=points.all,
            failures=visits.failures,
            leaders=points.leaders(points.score),
            current=points.current(points.score),
            size=field.size,
            windows=visits.count,
            load_seconds=visits.load_seconds,
            stopped=stopped,
        )


def _is_hopeless(spot: Spot, points: Points, field: Field) -> bool:
    """Whether less load broke the budget already."""
    if field.keeps is None or not isinstance(spot.load, ClosedLoad):
        return False
    return any(
        other.configuration is spot.configuration
        and isinstance(other.load, ClosedLoad)
        and other.load.concurrency < spot.load.concurrency
        and field.is_kept(points.point(other).measured) is False
        and points.point(other).is_clean  # what others disturbed breaks no budget
        for other in points.windows
    )
