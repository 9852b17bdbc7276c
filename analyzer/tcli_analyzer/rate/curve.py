"""One condition of an objective, and what the probes say of it."""

import math

import numpy as np

from tcli_analyzer.evidence.percentiles import design_effect, samples_needed
from tcli_analyzer.rate.fitting import Probe, RateSearch
from tcli_analyzer.rate.mean import MeanProbe, MeanSearch, relative_error
from tcli_analyzer.rate.slo import Condition
from tcli_analyzer.rate.start import Prior

_MEAN_SAMPLES = 3000
_CONFIRM_EFFECT = 20.0
"""The most that a design effect makes the run longer that confirms."""


class Curve:
    """Takes the probes; `steps` says where to go on.

    Args:
        start: requests per second to begin with.
        precision: as `Stepping.precision`.
    """

    def __init__(self, condition: Condition, prior: Prior, start: float, precision: float) -> None:
        self.condition = condition
        self.steps: RateSearch | MeanSearch
        if condition.share is None:
            self.steps = MeanSearch(start, condition.limit_ms, prior.slope, precision)
        else:
            self.steps = RateSearch(start, condition.share, prior.slope, precision, prior.effect)

    def add(self, rate: float, latencies_ms: np.ndarray, overloaded: bool) -> None:
        """What came of a probe.

        Args:
            latencies_ms: float64 [n], in the order in which the replies came.
        """
        if isinstance(self.steps, MeanSearch):
            mean = self.condition.value_ms(latencies_ms)
            error = relative_error(latencies_ms) if latencies_ms.size else 1.0
            self.steps.add(MeanProbe(rate, len(latencies_ms), mean, error, overloaded or not latencies_ms.size))
            return
        over = self.condition.over(latencies_ms)
        count, total = int(over.sum()), len(over)
        effect = design_effect(over, 1 - count / total) if 0 < count < total else 1.0
        self.steps.add(Probe(rate, total, count, effect, overloaded or not total))

    @property
    def long_run(self) -> int:
        """Requests in which the figure shows itself, at 95 %: what so many independent ones would, times what one is worth."""
        if self.condition.share is None or not isinstance(self.steps, RateSearch):
            return _MEAN_SAMPLES
        return math.ceil(samples_needed(self.condition.share) * min(_CONFIRM_EFFECT, self.steps.effect))
