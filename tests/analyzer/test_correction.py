"""Predictions corrected by measurements: what one point tells of another, and when nothing can beat the leader any more."""

import math

import numpy as np
import pytest

from tcli_analyzer.prediction.correction import (
    Candidate,
    Correction,
    Observed,
    Place,
    chance_to_beat,
    most_promising,
)

HERE, NEAR, FAR = Place(1, 8, 16), Place(1, 8, 8), Place(4, 1, 1)
OPEN = Place(1, 8, 16, is_open=True)


def test_without_observations_nothing_is_corrected_and_little_is_known():
    mean, deviation = Correction([]).at(HERE)
    assert mean == 0
    assert deviation == pytest.approx(math.sqrt(0.05**2 + 0.03**2 + 0.1**2 + 0.03**2 + 0.02**2))


def test_what_is_near_a_measured_point_is_known_better_than_what_is_far():
    correction = Correction([Observed(HERE, math.log(0.9), 0.02)])
    here, near, far = (correction.at(place) for place in (HERE, NEAR, FAR))
    assert here[0] == pytest.approx(math.log(0.9), rel=0.1)
    assert here[0] < near[0] < far[0] < 0
    assert here[1] < near[1] < far[1]


def test_an_open_loop_learns_little_from_a_closed_one_and_all_from_one_of_its_own():
    closed = Correction([Observed(HERE, math.log(0.86), 0.02)])
    both = Correction([Observed(HERE, 0.0, 0.02), Observed(OPEN, math.log(0.86), 0.02)])
    assert abs(closed.at(OPEN)[0]) < 0.4 * abs(math.log(0.86))
    other = Place(2, 4, 12, is_open=True)
    assert both.at(other)[0] == pytest.approx(math.log(0.86), rel=0.35)
    assert abs(both.at(FAR)[0]) < 0.03


def test_it_is_as_sure_as_it_says():
    """Surfaces drawn from the process itself lie within two deviations in about 95 % of the cases."""
    random = np.random.default_rng(0)
    places = [Place(k, b, c) for k in (1, 2) for b in (1, 4, 8) for c in (1, 4, 16)]
    prior = Correction([])
    covariance = np.array([[_covariance(prior, a, b) for b in places] for a in places])
    inside = total = 0
    for _ in range(200):
        truth = random.multivariate_normal(np.zeros(len(places)), covariance)
        seen = random.permutation(len(places))[:5]
        found = Correction([Observed(places[i], truth[i] + random.normal(0, 0.02), 0.02) for i in seen])
        for index, place in enumerate(places):
            mean, deviation = found.at(place)
            inside += abs(truth[index] - mean) <= 2 * deviation
            total += 1
    assert 0.92 <= inside / total <= 0.98


def _covariance(prior: Correction, a: Place, b: Place) -> float:
    """Of two places, by what knowing the one exactly takes from the other's variance."""
    if a == b:
        return prior.at(a)[1] ** 2
    known = Correction([Observed(a, 1.0, 0.0)])
    return known.at(b)[0] * (prior.at(a)[1] ** 2 + 1e-8)


def test_the_chance_to_beat_the_leader_is_a_normal_tail():
    leader = Candidate("a", 100, 0.0, 0.0, measured=True)
    assert chance_to_beat(Candidate("b", 103, 0.0, 0.05), leader, 0.03) == pytest.approx(0.5)
    assert chance_to_beat(Candidate("b", 100, 0.0, 0.03), leader, 0.03) == pytest.approx(0.1622, abs=0.001)
    assert chance_to_beat(Candidate("b", 104, 0.0, 0.0), leader, 0.03) == 1


def test_the_next_to_measure_is_the_most_likely_winner():
    leader = Candidate("leader", 100, 0.0, 0.01, measured=True)
    sure, unsure, hopeless = (
        Candidate("sure", 101, 0.0, 0.01),
        Candidate("unsure", 99, 0.0, 0.1),
        Candidate("hopeless", 50, 0.0, 0.05),
    )
    best, chance = most_promising([leader, sure, unsure, hopeless], leader, 0.03)
    assert best is unsure
    assert chance_to_beat(unsure, leader, 0.03) < chance < 0.6
    assert most_promising([leader], leader, 0.03) == (None, 0)
