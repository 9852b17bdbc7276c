"""Which configuration is recommended, and what is said about it."""

from dataclasses import replace

import pytest

from measured_points import point
from tcli_analyzer.recommendation import Goal, Objective, recommend


def test_the_best_beyond_the_noise_is_taken():
    found = recommend([point(0, 1, [50] * 3, current=True), point(1, 1, [60] * 3), point(4, 1, [100, 101, 99])], Goal())
    assert found.chosen.configuration.label == "batch 4, 1 instance"
    assert found.gain == pytest.approx(1.0, abs=0.01)
    assert found.beyond_noise
    assert "100% more throughput than the current" in found.sentence()


def test_among_equals_the_simplest_is_taken():
    points = [
        point(0, 1, [50] * 3, current=True),
        point(8, 2, [100, 90, 110]),
        point(8, 1, [95] * 3),
        point(4, 1, [96] * 3),
    ]
    found = recommend(points, Goal())
    assert found.chosen.configuration.label == "batch 4, 1 instance"
    assert len(found.equivalent) == 3


def test_the_current_one_is_kept_if_nothing_is_better_beyond_the_noise():
    found = recommend([point(8, 2, [95] * 3, current=True), point(1, 1, [100, 90, 110])], Goal())
    assert found.keeps_current
    assert "Keep the current configuration" in found.sentence()


def test_being_noisy_does_not_make_a_candidate():
    noisy = point(1, 1, [40, 80, 120])
    found = recommend([point(0, 1, [90] * 3, current=True), point(4, 1, [100] * 3), noisy], Goal())
    assert found.chosen.configuration.label == "batch 4, 1 instance"


def test_only_points_within_the_latency_budget_count():
    points = [
        point(0, 1, [50] * 3, latency_ms=8, current=True),
        point(4, 1, [60] * 3, latency_ms=9, concurrency=2),
        point(4, 1, [100] * 3, latency_ms=30, concurrency=16),
    ]
    found = recommend(points, Goal(latency_budget_ms=10))
    assert found.chosen.concurrency == 2
    assert found.within_budget


def test_a_budget_that_nothing_keeps_is_said():
    points = [point(0, 1, [50] * 3, latency_ms=20, current=True), point(1, 1, [90] * 3, latency_ms=15)]
    found = recommend(points, Goal(latency_budget_ms=10))
    assert not found.within_budget
    assert found.chosen.configuration.label == "batch 1, 1 instance"
    assert "Nothing measured keeps a p99 latency of 10 ms" in found.sentence()


def test_the_lowest_latency_is_an_objective_too():
    points = [
        point(0, 1, [50] * 3, latency_ms=20, current=True),
        point(8, 1, [200] * 3, latency_ms=30),
        point(1, 2, [60] * 3, latency_ms=10),
    ]
    found = recommend(points, Goal(Objective.LATENCY))
    assert found.chosen.configuration.label == "batch 1, 2 instances"
    assert "50% lower p99 latency" in found.sentence()


def test_a_gain_that_can_be_chance_is_called_so():
    found = recommend([point(0, 1, [80, 97, 99], current=True), point(4, 1, [100, 101, 100])], Goal())
    assert not found.beyond_noise
    assert "can be chance" in found.sentence()


def test_nothing_measured_nothing_recommended():
    assert recommend([], Goal()) is None


def test_what_is_less_than_two_percent_better_is_not_better():
    """However steady the windows are: another start of the same configuration differs by as much."""
    found = recommend([point(0, 1, [100] * 3, current=True), point(4, 1, [101.5] * 3)], Goal())
    assert found.keeps_current
    assert not recommend([point(0, 1, [100] * 3, current=True), point(4, 1, [103] * 3)], Goal()).keeps_current


def test_fewer_instances_are_simpler_than_smaller_batches():
    """Each instance holds the model in memory."""
    points = [point(0, 1, [50] * 3, current=True), point(1, 2, [100] * 3), point(8, 1, [100] * 3)]
    assert recommend(points, Goal()).chosen.configuration.label == "batch 8, 1 instance"


def test_the_gain_is_over_what_the_current_configuration_does_within_the_budget():
    points = [
        point(0, 1, [50] * 3, latency_ms=8, current=True),
        point(4, 1, [100] * 3, latency_ms=9),
    ]
    over = point(0, 1, [90] * 3, latency_ms=80, current=True, concurrency=16)
    over = replace(over, configuration=points[0].configuration)
    found = recommend([*points, over], Goal(latency_budget_ms=10))
    assert found.baseline is points[0]
    assert found.gain == pytest.approx(1)
