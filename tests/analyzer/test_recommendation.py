"""Which configuration is recommended, and what is said about it."""

from dataclasses import replace

import pytest

from measured_points import BUSY, configuration, finals, point, steady, window
from tcli_analyzer.evidence.race import Race
from tcli_analyzer.finals import Finals
from tcli_analyzer.goal import Goal, Objective
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.point import Point
from tcli_analyzer.recommendation import Outcome, Recommendation, recommend


def recommended(*points: Point, goal: Goal | None = None, **more: object) -> Recommendation:
    found = recommend(finals(points, goal), [], None, **more)
    assert found is not None
    return found


def now(throughput: float = 50, **more: object) -> Point:
    return point(0, 1, steady(throughput), current=True, **more)


def test_what_is_proven_better_is_taken_with_its_interval():
    found = recommended(now(), point(1, 1, steady(60)), point(4, 1, steady(100)))
    assert found.outcome is Outcome.TAKE
    assert found.chosen.configuration.label == "batch 4, 1 instance"
    assert found.gain.low < 1.0 < found.gain.high
    assert found.gain.high - found.gain.low < 0.1
    assert found.may_be_applied
    assert "+100 % [+9" in found.sentence()
    assert "9 pairs over 30 s, 0 of 27 windows dropped" in found.sentence()


def test_among_those_that_tie_the_simplest_is_taken():
    found = recommended(now(), point(8, 2, steady(100)), point(8, 1, steady(99.7)), point(4, 1, steady(99.8)))
    assert found.chosen.configuration.label == "batch 4, 1 instance"
    assert len(found.equivalent) == 2


def test_a_small_difference_that_is_not_proven_does_not_make_up_for_being_simpler():
    rough = [98, 107, 96, 105, 99, 95, 104, 97, 93]
    found = recommended(now(), point(8, 2, steady(100)), point(8, 1, rough))
    assert found.chosen.configuration.label == "batch 8, 1 instance"
    assert found.equivalent == ()  # nobody has shown that
    assert recommended(now(), point(8, 2, steady(106)), point(8, 1, rough)).chosen.configuration.instances == 2


def test_stalls_that_a_median_does_not_see_are_no_tie():
    stalls = [99, 99, 35, 99, 35, 99, 35, 99, 99, 35, 35, 35, 99]
    leader = point(8, 2, steady(100, rounds=13))
    found = recommended(point(0, 1, steady(20, rounds=13), current=True), leader, point(8, 1, stalls))
    assert found.chosen.configuration.instances == 2


def test_what_may_break_the_budget_is_not_as_good_as_what_keeps_it():
    sure = point(8, 2, steady(100), latency_ms=10)
    unsure = replace(point(8, 1, steady(99)), windows=Windows(tuple(window(99, 49.9, 10) for _ in range(9))))
    found = recommended(now(), sure, unsure, goal=Goal(latency_budget_ms=50))
    assert found.chosen.configuration.instances == 2


def test_fewer_instances_are_simpler_than_smaller_batches():
    """Each instance holds the model in memory."""
    assert recommended(now(), point(1, 2, steady(100)), point(8, 1, steady(100.1))).chosen.configuration.instances == 1


def test_the_current_one_is_kept_where_all_others_tie_or_are_worse():
    found = recommended(now(100), point(4, 1, steady(100.4)), point(8, 1, steady(80)))
    assert found.outcome is Outcome.KEEP
    assert found.keeps_current
    assert not found.may_be_applied
    assert "Keep the current configuration" in found.sentence()
    assert "batch 4, 1 instance is between" in found.sentence()


def test_a_difference_that_is_neither_shown_nor_excluded_is_undecided_and_says_what_it_allows():
    shaky = point(4, 1, [90, 130, 95, 125, 92, 133, 99, 121, 94])
    found = recommended(now(100), shaky)
    assert found.outcome is Outcome.UNDECIDED
    assert not found.may_be_applied
    assert "between -" in found.sentence()
    assert "the current one stays" in found.sentence()


def test_being_noisy_does_not_make_a_candidate():
    noisy = point(1, 1, [40, 80, 120, 40, 80, 120, 40, 80, 120])
    assert recommended(now(90), point(4, 1, steady(100)), noisy).chosen.configuration.label == "batch 4, 1 instance"


def test_a_disturbed_race_decides_nothing_and_names_who_disturbed():
    found = recommended(
        now(20, processor=BUSY), point(4, 1, steady(172)), disturbers="up to 1.7 of 2 cores; most: cc1plus 41 s"
    )
    assert found.outcome is Outcome.UNDECIDED
    assert found.gain is None
    assert found.sentence().startswith(
        "Undecided: others disturbed 9 of 18 windows of the finals (up to 1.7 of 2 cores"
    )
    assert "%" not in found.sentence()
    assert found.keeps_current


def test_a_budget_is_not_broken_by_what_others_disturbed():
    slow = now(20, processor=BUSY, latency_ms=200)
    found = recommended(slow, point(4, 1, steady(100)), goal=Goal(latency_budget_ms=20))
    assert found.outcome is Outcome.UNDECIDED


def test_more_than_half_of_the_windows_dropped_is_said_in_the_first_sentences():
    one, other = now(50), point(4, 1, steady(100))
    made = finals([one, other])
    disturbed = [window(10, processor=BUSY)] * 12
    race = Race(
        made.race.comparisons, {name: [*disturbed, *all_] for name, all_ in made.race.windows.items()}, made.race.latest
    )
    found = recommend(replace(made, race=race), [], None)
    assert found.outcome is Outcome.TAKE
    assert "Others disturbed 24 of 42 windows" in found.sentence()


def test_only_what_keeps_the_latency_budget_counts():
    fast = point(4, 1, steady(100), latency_ms=30)
    found = recommended(now(latency_ms=8), fast, point(2, 1, steady(60), latency_ms=9), goal=Goal(latency_budget_ms=10))
    assert found.chosen.configuration.label == "batch 2, 1 instance"


def test_a_current_one_over_the_budget_is_no_measure():
    found = recommended(now(100, latency_ms=80), point(4, 1, steady(60)), goal=Goal(latency_budget_ms=20))
    assert found.outcome is Outcome.TAKE
    assert found.gain is None
    assert "The current configuration does not keep the latency budget." in found.sentence()


def test_a_budget_that_nothing_keeps_is_said():
    found = recommended(now(latency_ms=20), point(1, 1, steady(90), latency_ms=15), goal=Goal(latency_budget_ms=10))
    assert found.outcome is Outcome.OVER_BUDGET
    assert not found.may_be_applied
    assert found.chosen.configuration.label == "batch 1, 1 instance"
    assert "Nothing measured keeps a p99 latency of 10 ms" in found.sentence()


def latencies(batch: int, instances: int, latency_ms: float, current: bool = False) -> Point:
    windows = tuple(window(50, value, requests=400) for value in steady(latency_ms))
    return Point(configuration(batch, instances, current), ClosedLoad(1), Windows(windows))


def test_the_lowest_latency_is_an_objective_too():
    found = recommended(
        latencies(0, 1, 20, current=True), latencies(8, 1, 30), latencies(1, 2, 10), goal=Goal(Objective.LATENCY)
    )
    assert found.chosen.configuration.label == "batch 1, 2 instances"
    assert "That is +50 % [" in found.sentence()  # 20 ms become 10: half, not "100 % less"
    assert "less p99 latency than the current configuration" in found.sentence()


def test_wrong_batches_are_never_recommended():
    wrong = replace(now(100), configuration=configuration(8, 1, current=True, wrong_batches=True))
    found = recommended(wrong, point(1, 1, steady(60)))
    assert found.outcome is Outcome.TAKE
    assert found.chosen.configuration.max_batch_size == 1
    assert "its numbers do not count" in found.sentence()
    alone = recommended(wrong)
    assert alone.outcome is Outcome.WRONG_BATCHES
    assert "Do not keep the current configuration" in alone.sentence()


def test_what_it_gains_over_the_defaults_is_said_too():
    plain = point(8, 1, steady(40))
    points = [now(50), plain, point(4, 1, steady(100))]
    found = recommend(finals(points), [], plain.configuration)
    assert found.over_default.gain == pytest.approx(1.5, rel=0.05)
    assert "Over the model's defaults it is +1" in found.sentence()


def test_a_lucky_search_changes_nothing_that_is_said():
    """The best of many noisy points overshoots: what is reported is of the finals."""
    lucky = point(4, 1, [500])
    points = [now(50), replace(lucky, windows=Windows(tuple(window(value) for value in steady(100))))]
    found = recommend(finals(points), [lucky, point(8, 2, [400])], None)
    assert found.chosen.measured.throughput == pytest.approx(100, rel=0.02)
    assert [one.configuration.label for one in found.ranking] == [
        "batch 4, 1 instance",
        "current",
        "batch 8, 2 instances",
    ]


def test_too_few_requests_for_p99_are_said():
    few = Windows(tuple(window(value, requests=20) for value in steady(100)))
    found = recommended(now(), replace(point(4, 1, [1]), windows=few))
    assert "p99 10.0 ms (of 180 requests, worth 90 of the 368 that p99 takes)" in found.numbers()


def test_nothing_measured_nothing_recommended():
    assert recommend(None, [], None) is None
    assert recommend(Finals((), Race(), Goal(), 0.02, 0.0), [], None) is None


def test_alone_and_always_disturbed_nothing_is_proven_of_it():
    alone = recommended(now(processor=BUSY))
    assert alone.outcome is Outcome.UNDECIDED
    assert "others disturbed" in alone.reason
