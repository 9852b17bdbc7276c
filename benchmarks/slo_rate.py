"""How near the search for a rate comes, in how many requests: on queues whose answer is known, and on a real model.

    python benchmarks/slo_rate.py [--json FILE]         # synthetic queues, no time passes: seconds
    python benchmarks/slo_rate.py --model-repository R --model M --slo "p99<=60ms"   # a real one as well: minutes

Synthetic: an M/D/1 queue, by Crommelin's formula, and an M/M/1 queue, whose latencies are exponential. Each is searched from a start
that is off as a prediction is (8 %, seeded). Bisection with one probe of 600 requests a rate, as load generators do it, stands beside.
Real: the same configuration is searched again and again with other arrivals; the spread of the answers, as a ratio, is the figure.
"""

import argparse
import math
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from running import write_json
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.configuration import Configuration, instance_count
from tcli_analyzer.inputs import RandomSource, resolve_shapes
from tcli_analyzer.load import OpenLoad
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.rate.found import RateFound
from tcli_analyzer.rate.probing import RateOptions
from tcli_analyzer.rate.search import find_rate
from tcli_analyzer.rate.slo import Slo, parse_slo
from tcli_analyzer.rate.start import Prior, Start
from tcli_server.repository import read_config
from virtual_bench import VirtualBench, configuration, exponential, fixed

SERVICE = 0.005
RUNS = 100
OFF = 0.08
"""Standard deviation of the logarithm of a predicted rate over the true one."""


def m_d_1(limit: float) -> float:
    """Requests per second at which 1 % take longer than the limit, in seconds (Crommelin)."""
    wait = limit - SERVICE

    def kept(rate: float) -> float:
        terms = [
            (rate * (k * SERVICE - wait)) ** k / math.factorial(k) * math.exp(-rate * (k * SERVICE - wait))
            for k in range(int(wait / SERVICE + 1e-9) + 1)
        ]
        return (1 - rate * SERVICE) * math.fsum(terms)

    low, high = 1.0, 0.999 / SERVICE
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) >= 0.99 else (low, middle)
    return low


def bisected(bench: VirtualBench, slo: Slo, start: float) -> tuple[float, int]:
    """The rate that bisection to 1 % ends at, with a probe of 600 requests for each rate, and the requests that it sent."""
    low, high, sent, rate = 0.0, math.inf, 0, start
    for number in range(40):
        options = VisitOptions(seconds=600 / rate, requests=1, warm_up_seconds=0.25)
        (window,) = bench.visit(configuration(), OpenLoad(rate, seed=number), options)
        sent += len(window.latencies_ms)
        if not window.overloaded and slo.keeps(window.latencies_ms):
            low = rate
        else:
            high = rate
        if high < 1.01 * low:
            break
        rate = 2 * low if high == math.inf else (low + high) / 2 if low else high / 2
    return low, sent


def show(name: str, ratios: list[float], requests: list[int], broken: float | None = None) -> None:
    low, middle, high = (100 * (value - 1) for value in np.percentile(ratios, [5, 50, 95]))
    text = f"{name:<32} error 5 / 50 / 95 %: {low:+5.1f} {middle:+5.1f} {high:+5.1f} %   requests {np.median(requests):7,.0f}"
    print(text + (f"   really break the SLO: {100 * broken:.0f} %" if broken is not None else ""))


def synthetic(name: str, bench: Callable[[], VirtualBench], slo: Slo, prior: Prior, truth: float) -> dict[str, object]:
    """What searches found of a queue whose best rate is known, in requests a second."""
    print(f"{name}, {slo.text}, the truth is {truth:.1f} requests/s; {RUNS} searches")
    random = np.random.default_rng(1)
    starts = truth * np.exp(random.normal(0, OFF, RUNS))
    found: list[RateFound] = []
    for number, start in enumerate(starts):
        options = RateOptions(seed=1000 * number)
        found.append(find_rate(bench(), configuration(), slo, Start(float(start), (prior,)), options, lambda _: True))
    answered = [one for one in found if one.rate is not None and one.estimate is not None]
    requests = [one.requests for one in answered]
    show("  estimate", [(one.estimate or 0) / truth for one in answered], requests)
    rates = [(one.rate or 0) / truth for one in answered]
    show("  answer (safe)", rates, requests, float(np.mean([ratio > 1.015 for ratio in rates])))
    covered = [(one.low or 0) < truth < (one.high or 0) for one in answered]
    print(
        f"  the interval holds the truth in {100 * np.mean(covered):.0f} %; {len(found) - len(answered)} without an answer"
    )
    others = [bisected(bench(), slo, float(start)) for start in starts]
    ratios = [rate / truth for rate, _ in others]
    broken = float(np.mean([ratio > 1.015 for ratio in ratios]))
    show("  bisection, probes of 600", ratios, [sent for _, sent in others], broken)
    bisections = [{"rate": rate, "requests": sent} for rate, sent in others]
    return {"truth": truth, "searches": [reading(one) for one in found], "bisection": bisections}


def reading(found: RateFound) -> dict[str, object]:
    """What the figures are made of: rates in requests a second, None where there is none."""
    return {
        "estimate": found.estimate,
        "answer": found.rate,
        "low": found.low,
        "high": found.high,
        "is_claim": found.is_claim,
        "requests": found.requests,
        "dropped_probes": found.dropped,
    }


def real(repository: Path, model: str, slo: Slo, runs: int) -> list[dict[str, object]]:
    """What searches found of a model on this machine, in requests a second."""
    config = read_config(repository / model / "config.pbtxt")
    shapes, _ = resolve_shapes(config, {})
    one = Configuration("as it is", config.max_batch_size, instance_count(config), config, current=True)
    print(f"{model}, {slo.text}, {runs} searches")
    found = []
    with LocalBench({False: repository}, model, RandomSource(shapes), threading.Event()) as bench:
        bench.hold([one])
        for number in range(runs):
            found.append(find_rate(bench, one, slo, Start(), RateOptions(seed=1000 * number), lambda _: True))
            print(f"  {found[-1].sentence} ({found[-1].requests:,} requests, {found[-1].dropped} probes dropped)")
    estimates = [each.estimate for each in found if each.estimate is not None and each.is_claim]
    if len(estimates) > 1:
        middle = float(np.median(estimates))
        show(
            "  estimates over their median", [value / middle for value in estimates], [each.requests for each in found]
        )
    return [reading(one) for one in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-repository", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--slo", type=parse_slo, default=parse_slo("p99<=100ms"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    fixed_slo, exponential_slo = parse_slo("p99<=25ms"), parse_slo("p99<=100ms")
    figures: dict[str, object] = {}
    figures["M/D/1"] = synthetic(
        "M/D/1", lambda: VirtualBench(fixed(SERVICE)), fixed_slo, Prior(6.8, 7.0), m_d_1(0.025)
    )
    truth = (1 - SERVICE * math.log(100) / 0.1) / SERVICE
    figures["M/M/1"] = synthetic(
        "M/M/1", lambda: VirtualBench(exponential(SERVICE)), exponential_slo, Prior(15.0, 25.0), truth
    )
    if given.model_repository and given.model:
        figures[given.model] = real(given.model_repository, given.model, given.slo, given.runs)
    write_json(given.json, figures)


if __name__ == "__main__":
    main()
