"""Puts a loaded target under one load for some windows."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tcli_analyzer.arrivals import endless, replayed
from tcli_analyzer.evidence.disturbance import ProcessorMeter
from tcli_analyzer.inputs import Inputs
from tcli_analyzer.load import ClosedLoad, Load, RunningLoad
from tcli_analyzer.load.closed import ClosedLoop
from tcli_analyzer.load.failing import LoadFailedError
from tcli_analyzer.load.open import OpenLoop
from tcli_analyzer.measuring.replies import cpu_ns_of, late_ms_of, latencies_of, most_cores, requests_sent, sent_share
from tcli_analyzer.measuring.silence import SILENCE_SECONDS, Silence
from tcli_analyzer.measuring.watch import Stopped, Watch
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.resources import ResourceMeter
from tcli_analyzer.target import Target

__all__ = ["LoadFailedError", "Stopped", "VisitOptions", "longest_visit", "visit"]


_MOMENT = 0.5


@dataclass(frozen=True, slots=True)
class VisitOptions:
    """How long a visit is.

    Attributes:
        windows: how many, one after the other under the same load.
        seconds: least length of a window.
        requests: a window goes on until it has this many answers ...
        longest: ... or is this many times `seconds` long, and has one answer.
        warm_up_seconds: of load before the first window; at least two answers for each request outstanding.
        items: inferences in a request.
        silence_seconds: without an answer, after which it hangs, see `Silence`.
    """

    windows: int = 1
    seconds: float = 0.5
    requests: int = 34
    longest: float = 5.0
    warm_up_seconds: float = 0.25
    items: int = 1
    silence_seconds: float = SILENCE_SECONDS


def longest_visit(load: Load, options: VisitOptions) -> float:
    """Seconds after which a visit is over whatever happens, as `Silence` ends one without answers; what takes longer hangs itself."""
    outstanding = load.concurrency if isinstance(load, ClosedLoad) else 1
    answers = outstanding + options.windows + 2  # waited for one by one, the last when all is over
    return 60.0 + options.windows * options.seconds * max(1.0, options.longest) + answers * options.silence_seconds


def visit(
    target: Target,
    requests: Sequence[Inputs],
    load: Load,
    options: VisitOptions,
    stop: threading.Event,
    pids: Iterable[int] = (),
) -> list[Window]:
    """Measure.

    Args:
        requests: sent in turn, each of `options.items` inferences.
        pids: processes whose processor time counts, this one's among them; none where it cannot be seen.

    Returns:
        Fewer windows than asked for only where the load is more than the target can do: the last one says so; or where recorded
        arrivals came to their end.

    Raises:
        LoadFailedError: a request failed.
        StuckError: no answer comes any more.
        Stopped: `stop` was set.
    """
    processor = ProcessorMeter(pids) if pids and ProcessorMeter.is_possible() else None
    with running_load(target, requests, load) as running, ResourceMeter() as meter:
        samples = [meter.sample] if processor is None else [meter.sample, processor.sample]
        watch = Watch(running, stop, samples, options.silence_seconds)
        outstanding = load.concurrency if isinstance(load, ClosedLoad) else 1
        warm_ns = int(options.warm_up_seconds * 1e9)
        answered, counters = 0, target.counters()
        watch.next_end(warm_ns, 2 * outstanding, 4 * warm_ns, outstanding)
        found: list[Window] = []
        if running.overloaded:  # already: what was answered until then is all that there is to see
            watch.begin_anew()
        else:
            answered, counters = len(running.replies), target.counters()
            meter.take()
            if processor is not None:
                processor.take()
        while len(found) < options.windows and not (found and (found[-1].overloaded or watch.is_over)):
            busy, sent = cpu_ns_of(running, target), requests_sent(running)
            began, first = time.time(), watch.position
            start_ns = watch.start_ns
            least_ns = int(options.seconds * 1e9)
            last = watch.next_end(least_ns, max(options.requests, outstanding), int(least_ns * options.longest), 1)
            before, begun_with, answered = counters, answered, len(running.replies)
            counters = target.counters()
            most_counted = len(running.replies) + running.outstanding - begun_with
            usage = meter.take()
            found.append(
                Window(
                    began=began,
                    seconds=max(1, watch.start_ns - start_ns) / 1e9,
                    latencies_ms=latencies_of(running.replies[first:last]),
                    counters=counters - before,
                    processor=processor.take() if processor is not None else None,
                    memory_mib=usage.memory_mib,
                    gpu=usage.gpu,
                    items=options.items,
                    late_ms=late_ms_of(running.replies[first:last]),
                    overloaded=running.overloaded,
                    sender_cores=most_cores(busy, cpu_ns_of(running, target), watch.start_ns - start_ns),
                    sent_share=sent_share(running, load, requests_sent(running) - sent),
                    most_counted=most_counted,
                )
            )
        silence = Silence(running, options.silence_seconds)
        running.drain_seconds = min(running.drain_seconds, silence.limit + _MOMENT)
    silence.check_end()
    return found


@contextmanager
def running_load(target: Target, requests: Sequence[Inputs], load: Load) -> Iterator[RunningLoad]:
    """A load at a target; waits for the last answer in the end."""
    if isinstance(load, ClosedLoad):
        with ClosedLoop(target, requests, load.concurrency, load.sequences) as closed:
            yield closed
        return
    if load.gaps_seconds:
        natural = len(load.gaps_seconds) / sum(load.gaps_seconds)
        moments = replayed(load.gaps_seconds, load.rate / natural, load.loop)
    else:
        moments = endless(load.rate, load.distribution, load.seed)
    sequences = load.sequences.at_rate(load.rate) if load.sequences is not None else None
    with OpenLoop(target, requests, moments, sequences, gives_up=not load.gaps_seconds) as opened:
        yield opened
