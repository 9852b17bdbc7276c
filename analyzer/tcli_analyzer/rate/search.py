"""The highest rate of requests at which a configuration keeps an objective on latencies.

Only the open loop answers that. A probe is a run at one rate; what it says of each condition goes into a line over rates, and the next
probe is near the answer of the condition that is lost first, see `stepping`. A safe rate below the answer is then held for a long run.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tcli_analyzer.bench import Bench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.rate.curve import Curve
from tcli_analyzer.rate.fitting import RateSearch
from tcli_analyzer.rate.found import Purpose, RateFound, RateProbe, Verdict, rounded_down
from tcli_analyzer.rate.mean import MeanSearch
from tcli_analyzer.rate.probing import Prober, RateOptions
from tcli_analyzer.rate.slo import Condition, Slo
from tcli_analyzer.rate.start import Start
from tcli_analyzer.rate.stepping import LEAST_PROBES, RateEstimate

_USUAL_LOAD = 0.6
_NEARLY_FULL = 0.97
"""Of the capacity: above it queues have no end that a measurement could wait for."""
_LEAST_LOAD = 0.005
"""Of the capacity: a rate at which requests hardly ever meet."""
_MOST_PROBES = 40
_MOST_DISTURBED = 4
"""Rates that were tried, each several times, without a single probe that counts."""
_VAGUE = 0.2
"""Half the width of the interval, relative, of an answer that is worth a long run."""
_NEARLY_ALL = 0.8
"""Of the requests that a run to confirm should have: how many come is by chance."""


@dataclass(frozen=True)
class RateProgress:
    """How a search stands.

    Attributes:
        probe: the latest.
        estimate: None while little is known.
        requests: that were sent.
    """

    probe: RateProbe
    estimate: RateEstimate | None
    requests: int


def find_rate(
    bench: Bench,
    configuration: Configuration,
    slo: Slo,
    start: Start,
    options: RateOptions,
    watch: Callable[[RateProgress], bool],
) -> RateFound:
    """Search, for some thousand requests.

    Args:
        watch: told after each probe; says whether to go on.

    Raises:
        As `Bench.visit`.
    """
    return _Search(bench, configuration, slo, start, options, watch).run()


class _Search:
    def __init__(
        self,
        bench: Bench,
        configuration: Configuration,
        slo: Slo,
        start: Start,
        options: RateOptions,
        watch: Callable[[RateProgress], bool],
    ) -> None:
        self._configuration = configuration
        self._slo = slo
        self._start = start
        self._options = options
        self._watch = watch
        self._prober = Prober(bench, configuration, options)
        self._curves: list[Curve] = []
        self._rechecked = False
        self._disturbed: list[RateProbe] = []
        self._going = True

    def run(self) -> RateFound:
        self._prober.measure_alone()
        self._prober.measure_capacity()
        lost = next((one for one in self._slo.conditions if self._is_lost_alone(one)), None)
        if lost is not None:
            alone = lost.value_ms(_latencies(self._prober.alone))
            return self._found(Verdict.IMPOSSIBLE, None, binding=lost, alone_ms=alone)
        self._begin()
        for number in range(1 + self._options.confirmations):
            verdict = self._look()
            if verdict is not None:
                return verdict
            if number < self._options.confirmations:
                confirmed = self._confirm()
                if confirmed is not None:
                    return confirmed
                if not self._going or not self._counted or self._prober.seconds >= self._options.most_seconds:
                    break
        return self._answer(Verdict.UNCONFIRMED)

    def _is_lost_alone(self, condition: Condition) -> bool:
        """Whether requests that have the server for themselves take too long, beside what the batcher waits for company: the average, or half
        of them; all of them where others disturbed that."""
        delay_ms = self._configuration.config.dynamic_batching.max_queue_delay_microseconds / 1e3
        alone = self._prober.alone
        latencies = _latencies(alone) - delay_ms
        if not latencies.size:
            return False
        if not all(window.is_clean for window in alone.windows):
            return bool(latencies.min() > condition.limit_ms)
        return not Condition(condition.share and 0.5, condition.limit_ms).keeps(latencies)

    def _begin(self) -> None:
        rate = min(self._start.rate or _USUAL_LOAD * self._prober.capacity, self._most)
        self._curves = [
            Curve(one, self._start.prior(number, one), rate, self._options.precision)
            for number, one in enumerate(self._slo.conditions)
        ]

    @property
    def _binding(self) -> Curve:
        return min(self._curves, key=lambda curve: curve.steps.guess)

    def _look(self) -> RateFound | None:
        """Probe until enough is known; gives what ends the search without a confirmation."""
        steps = self._binding.steps
        while self._going and not (steps.is_done and steps.guess < self._most):
            if steps.is_cliff and not self._recheck(steps):
                return self._cliff()
            rate = self._binding.steps.next_rate()
            if rate >= self._most and any(probe.rate >= self._most for probe in self._counted):
                return self._full()
            if self._is_spent:
                break
            rate = min(rate, self._most)
            if rate < _LEAST_LOAD * self._prober.capacity:
                if not self._counted:
                    return self._unknown()
                return self._found(Verdict.NONE_KEEPS, None, binding=self._binding.condition)
            self._probe(rate)
            steps = self._binding.steps
        if steps.estimate() is None or (not self._counted and not self._disturbed):
            return self._unknown()
        return None

    @property
    def _capacity(self) -> float:
        """In requests per second; without end where it was seen disturbed only, as it may be far more."""
        return self._prober.capacity if self._prober.is_capacity_clean else math.inf

    @property
    def _most(self) -> float:
        return _NEARLY_FULL * self._capacity

    @property
    def _is_spent(self) -> bool:
        """Whether only as many requests are left as it takes to confirm."""
        prober, options = self._prober, self._options
        if prober.seconds >= options.most_seconds or (not self._counted and len(self._disturbed) >= _MOST_DISTURBED):
            return True
        if len(prober.probes) >= _MOST_PROBES:
            return True
        estimate = self._binding.steps.estimate()
        if estimate is None or 1.96 * estimate.relative_error > _VAGUE:  # nothing to confirm yet
            return prober.counted_requests >= 2 * options.most_requests
        reserve = min(self._long_run, options.most_requests / 2) + options.probe_requests / 2
        return len(prober.probes) >= LEAST_PROBES and prober.counted_requests + reserve >= options.most_requests

    @property
    def _long_run(self) -> int:
        return max(curve.long_run for curve in self._curves)

    @property
    def _counted(self) -> list[RateProbe]:
        return [probe for probe in self._prober.probes if probe.counts]

    def _probe(self, rate: float, purpose: Purpose = Purpose.SEARCH, requests: int = 0) -> RateProbe:
        probe = self._prober.probe(rate, purpose, requests)
        if probe.counts:
            self._forget_disturbed()
        else:
            self._disturbed.append(probe)
        if (
            probe.counts or not self._counted
        ):  # the search must go on somewhere, but claims nothing from disturbed probes
            self._add(probe)
        self._going = self._watch(RateProgress(probe, self._binding.steps.estimate(), self._prober.requests))
        return probe

    def _add(self, probe: RateProbe) -> None:
        for curve in self._curves:
            curve.add(probe.rate, _latencies(probe.windows), probe.overloaded)

    def _forget_disturbed(self) -> None:
        """There are clean probes from now on."""
        if not self._prober.is_capacity_clean:
            self._prober.measure_capacity()
        for curve in self._curves:
            for probe in self._disturbed:
                curve.steps.drop(probe.rate)

    def _recheck(self, steps: RateSearch | MeanSearch) -> bool:
        """See whether the rate at which all was lost loses it again; gives whether it did not."""
        high = steps.bracket[1]
        if self._rechecked or high is None:
            return False
        self._rechecked = True
        self._probe(high * 0.999)
        again = steps.bracket[1]
        if again is not None and again < high:
            return False
        for curve in self._curves:
            curve.steps.drop(high)
        return True

    def _confirm(self) -> RateFound | None:
        """Hold a safe rate for long; None if that breaks the objective, or was disturbed."""
        estimate = self._binding.steps.estimate()
        if not self._going or estimate is None or not self._counted:
            return None
        rate = rounded_down(min(estimate.safe, self._binding.steps.guess))
        needed = self._long_run
        probe = self._probe(rate, Purpose.CONFIRM, needed)
        latencies = _latencies(probe.windows)
        if not probe.counts or probe.overloaded or not self._slo.keeps(latencies):
            return None
        is_long = len(latencies) >= _NEARLY_ALL * needed
        return self._answer(Verdict.CONFIRMED if is_long else Verdict.TOO_SHORT, rate, latencies, needed)

    def _answer(
        self, verdict: Verdict, rate: float | None = None, latencies: np.ndarray | None = None, needed: int = 0
    ) -> RateFound:
        """The rate with its interval, as all probes together have it."""
        binding = self._binding
        estimate = binding.steps.estimate()
        if estimate is None:
            return self._unknown()
        if not self._counted:
            return self._disturbed_answer()
        low, high = (min(self._capacity, end) for end in estimate.interval)
        return self._found(
            verdict,
            rate or rounded_down(min(estimate.safe, binding.steps.guess)),
            low=min(low, rate) if rate else low,
            high=high,
            estimate=min(self._capacity, estimate.rate),
            binding=binding.condition,
            value_ms=binding.condition.value_ms(latencies) if latencies is not None else math.nan,
            confirmed_requests=len(latencies) if latencies is not None else 0,
            needed_requests=needed,
        )

    def _disturbed_answer(self) -> RateFound:
        """What was kept although others were busy is the least that it takes."""
        kept = [one.rate for one in self._disturbed if not one.overloaded and self._slo.keeps(_latencies(one.windows))]
        least = max(kept, default=None)
        return self._found(Verdict.DISTURBED, least and rounded_down(least), low=least, binding=self._binding.condition)

    def _cliff(self) -> RateFound:
        low, high = self._binding.steps.bracket
        if low is None or high is None:
            return self._unknown()
        if high >= self._most:
            return self._full()
        if not self._counted:
            return self._disturbed_answer()
        return self._found(Verdict.CLIFF, rounded_down(low), low=low, high=high, binding=self._binding.condition)

    def _full(self) -> RateFound:
        """Nothing but the capacity is in the way."""
        kept = [
            probe.rate for probe in self._counted if not probe.overloaded and self._slo.keeps(_latencies(probe.windows))
        ]
        if not kept:
            return self._unknown()
        verdict = Verdict.CAPACITY
        return self._found(verdict, rounded_down(max(kept)), low=max(kept), high=max(max(kept), self._prober.capacity))

    def _unknown(self) -> RateFound:
        """No line leads to an answer: what was kept is all that can be said."""
        if not self._counted and self._disturbed:
            return self._disturbed_answer()
        low, high = self._binding.steps.bracket
        if low is None:
            return self._found(Verdict.STOPPED, None, binding=self._binding.condition)
        return self._found(Verdict.UNCONFIRMED, rounded_down(low), low=low, high=high, binding=self._binding.condition)

    def _found(
        self,
        verdict: Verdict,
        rate: float | None,
        low: float | None = None,
        high: float | None = None,
        estimate: float | None = None,
        binding: Condition | None = None,
        value_ms: float = math.nan,
        alone_ms: float = math.nan,
        confirmed_requests: int = 0,
        needed_requests: int = 0,
    ) -> RateFound:
        prober = self._prober
        return RateFound(
            self._configuration, self._slo, verdict, rate, low, high, estimate, binding, value_ms, alone_ms,
            prober.capacity, tuple(prober.probes), prober.requests, confirmed_requests, needed_requests,
        )  # fmt: skip


def _latencies(windows: Windows) -> np.ndarray:
    """In ms, of all requests."""
    parts = [window.latencies_ms for window in windows.windows]
    return np.concatenate(parts) if parts else np.empty(0)
