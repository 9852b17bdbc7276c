"""The highest rate under a limit, searched in a queue whose answer is known."""

import itertools

import numpy as np
import pytest

from tcli_analyzer.rate.fitting import Probe, RateSearch

SERVICE = 0.005
LIMIT = 5 * SERVICE
TRUTH = 111.7
"""Requests per second at which 1 % of the requests take longer than five service times, in an M/D/1 queue: half a million simulated."""
SLOPE = 7.0


def probe(rate: float, requests: int, random: np.random.Generator) -> Probe:
    """Send so many requests, after 300 that do not count."""
    moments = random.exponential(1 / rate, requests + 300).cumsum().tolist()
    ends = itertools.accumulate(moments, lambda end, moment: max(end, moment) + SERVICE, initial=0.0)
    taken = np.array(list(ends)[1:]) - np.array(moments)
    return Probe(rate, requests, int((taken[300:] > LIMIT).sum()))


def searched(start: float, random: np.random.Generator) -> RateSearch:
    search = RateSearch(start, 0.99, SLOPE)
    while not search.is_done and len(search.probes) < 60:
        search.add(probe(search.next_rate(), 1000, random))
    return search


def test_the_answer_is_near_the_truth_and_the_safe_one_below_it():
    random = np.random.default_rng(1)
    found = [searched(TRUTH * np.exp(random.normal(0, 0.08)), random).estimate() for _ in range(40)]
    errors = np.array([estimate.rate / TRUTH - 1 for estimate in found])
    assert np.abs(errors).max() < 0.12
    assert abs(np.median(errors)) < 0.02
    assert np.mean([estimate.safe <= 1.015 * TRUTH for estimate in found]) >= 0.9


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_a_start_that_is_far_off_is_left_soon(factor: float):
    random = np.random.default_rng(2)
    search = RateSearch(factor * TRUTH, 0.99, SLOPE)
    for _ in range(12):
        search.add(probe(search.next_rate(), 1000, random))
    assert search.probes[-1].rate == pytest.approx(TRUTH, rel=0.2)


def test_overload_is_an_upper_end():
    search = RateSearch(100, 0.99, SLOPE)
    search.add(Probe(100, 1000, 0))
    search.add(Probe(search.next_rate(), 1000, 1000, overloaded=True))
    assert 100 < search.next_rate() < 150
    assert search.estimate() is None
    assert not search.is_done


def test_no_rate_is_probed_twice():
    random = np.random.default_rng(3)
    search = searched(TRUTH, random)
    rates = [one.rate for one in search.probes]
    assert len(set(rates)) == len(rates)
    middle = search.estimate().rate
    assert any(rate < middle for rate in rates)
    assert any(rate > middle for rate in rates)
