"""What a search for a rate found, in figures and in a sentence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.load import OpenLoad
from tcli_analyzer.measuring.limit import GeneratorLimit, limited_by_generator
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.numbers import short
from tcli_analyzer.rate.slo import Condition, Slo


class Purpose(StrEnum):
    """What a probe was made for."""

    SEARCH = "search"
    CONFIRM = "confirm"


class Verdict(StrEnum):
    """What became of a search."""

    CONFIRMED = "confirmed"
    """A long run at the rate kept the objective."""
    UNCONFIRMED = "unconfirmed"
    """The rate is what the probes say; no long run at it kept the objective, or there was no time for one."""
    TOO_SHORT = "too short"
    """A run at the rate kept the objective, but was too short to confirm it."""
    CAPACITY = "capacity"
    """Latencies are no limit: the rate is what can be answered at all."""
    CLIFF = "cliff"
    """Beyond the rate the objective is lost all at once."""
    IMPOSSIBLE = "impossible"
    """Not even one request alone keeps the objective."""
    NONE_KEEPS = "none keeps"
    """No rate that was tried keeps it."""
    DISTURBED = "disturbed"
    """Others used the machine in nearly all probes: what they say is no claim."""
    STOPPED = "stopped"
    """It was ended before anything was known."""


@dataclass(frozen=True)
class RateProbe:
    """One rate that was tried.

    Attributes:
        rate: requests per second, as scheduled.
        windows: what was measured.
        counts: whether it entered the answer; a disturbed one does not where clean ones can be had.
    """

    rate: float
    windows: Windows
    purpose: Purpose
    counts: bool

    @property
    def overloaded(self) -> bool:
        """Whether requests came faster than they were answered."""
        return any(window.overloaded for window in self.windows.windows)

    @property
    def is_clean(self) -> bool:
        """Whether nobody disturbed it, as far as that can be seen."""
        return all(window.is_clean for window in self.windows.windows)


@dataclass(frozen=True)
class RateFound:
    """The answer for one configuration.

    Attributes:
        rate: requests per second that it takes within the objective, rounded down; None where there is no answer.
        estimate: the highest such rate, as far as is known: `rate` is a little below, to be safe.
        low: the lower end of its interval, about 95 %; None where there is none.
        high: its upper end.
        binding: the condition that is lost first; None where none was near its limit.
        value_ms: of the binding figure at `rate`, from the run that confirmed it; nan without one.
        alone_ms: the binding figure of requests that have the server for themselves; nan where it was not measured.
        capacity: requests per second under as many outstanding requests as it can use.
        probes: all, in their order, disturbed ones among them.
        requests: that were sent for all this.
        confirmed_requests: of the run that confirmed it.
        needed_requests: that such a run takes.
    """

    configuration: Configuration
    slo: Slo
    verdict: Verdict
    rate: float | None
    low: float | None = None
    high: float | None = None
    estimate: float | None = None
    binding: Condition | None = None
    value_ms: float = math.nan
    alone_ms: float = math.nan
    capacity: float = math.nan
    probes: Sequence[RateProbe] = ()
    requests: int = 0
    confirmed_requests: int = 0
    needed_requests: int = 0

    @property
    def dropped(self) -> int:
        """Probes that entered nothing, as others disturbed them."""
        return sum(not probe.counts for probe in self.probes)

    def limited(self, limit: GeneratorLimit | None) -> str | None:
        """Why the rate is the load generator's rather than the model's, see `limited_by_generator`; None if it is not.

        What counts is the latest probe, at the rate itself or nearest to it. That requests were sent late is no reason: latencies count
        from when they were due, so that the claim is on the safe side.
        """
        counted = [probe for probe in self.probes if probe.counts]
        if not counted:
            return None
        load, windows = OpenLoad(counted[-1].rate), counted[-1].windows.windows
        reasons = [limited_by_generator(one, load, limit, lateness=False) for one in windows]
        return next(filter(None, reasons), None)

    @property
    def is_claim(self) -> bool:
        """Whether the rate may be recommended."""
        return self.verdict in (Verdict.CONFIRMED, Verdict.CAPACITY, Verdict.CLIFF)

    @property
    def sentence(self) -> str:
        """For people, without the configuration's name: "takes 112 requests/s [105, 118] with p99 <= 50 ms; confirmed by ..."."""
        parts = []
        if self.rate is not None:
            interval = f" [{short(self.low)}, {short(self.high)}]" if self.low and self.high else ""
            least = "at least " if self.verdict is Verdict.DISTURBED else ""
            parts.append(f"takes {least}{_shown(self.rate)} requests/s{interval} with {self.slo.text}")
            if len(self.slo.conditions) > 1 and self.binding is not None:
                parts.append(f"{self.binding.name} is the first to be lost")
        return "; ".join([*parts, self._why()])

    @property
    def _value(self) -> str:
        name = self.binding.name if self.binding is not None else ""
        return f"{name} {self.value_ms:.3g} ms"

    def _why(self) -> str:
        name = self.binding.text if self.binding is not None else self.slo.text
        tried = [probe.rate for probe in self.probes]
        match self.verdict:
            case Verdict.CONFIRMED:
                return f"confirmed by {self.confirmed_requests:,} requests: {self._value}"
            case Verdict.TOO_SHORT:
                why = f"{name.split()[0]} takes about {self.needed_requests:,} to confirm"
                return f"kept by {self.confirmed_requests:,} requests ({self._value}), but {why}"
            case Verdict.UNCONFIRMED:
                return f"not confirmed by a long run ({self.requests:,} requests were sent)"
            case Verdict.CAPACITY:
                return f"latency is no limit: it cannot answer more than {short(self.capacity)} requests/s"
            case Verdict.CLIFF:
                return f"at {short(self.high or math.nan)} requests/s {name} is lost all at once"
            case Verdict.IMPOSSIBLE:
                shown = f": alone it takes {short(self.alone_ms)} ms" if not math.isnan(self.alone_ms) else ""
                return f"not even one request alone keeps {name}{shown}"
            case Verdict.NONE_KEEPS:
                return f"no rate from {short(min(tried))} to {short(max(tried))} requests/s keeps {name}"
            case Verdict.DISTURBED:
                return f"no claim: other processes disturbed {self.dropped} of {len(self.probes)} probes"
            case Verdict.STOPPED:
                return f"stopped before a rate with {self.slo.text} was known, after {self.requests:,} requests"


def _shown(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:g}"


def rounded_down(rate: float) -> float:
    """To three significant digits: never more than was found."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 2)
    return round(math.floor(rate / unit + 1e-9) * unit, 9)
