"""Several models on simulated cores: what is found, against what is true."""

import math
from dataclasses import replace
from itertools import product

import pytest

from shared_cores import Kind, SharedCores, configuration, tried
from tcli_analyzer.bench.together import CannotMeasureTogetherError
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.evidence.pairs import Verdict
from tcli_analyzer.goal import Goal, Objective
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.recommendation import Outcome
from tcli_analyzer.together.arrangement import Arrangement, Choice
from tcli_analyzer.together.finals import JointFinals, run_joint_finals
from tcli_analyzer.together.goal import JointGoal
from tcli_analyzer.together.recommendation import JointRecommendation, recommend_together
from tcli_analyzer.together.search import Candidates, JointFound, JointSearch

OPTIONS = VisitOptions(windows=2, seconds=0.75, requests=4)
KINDS = {"a": Kind(100.0, scaling=0.6), "b": Kind(40.0, scaling=0.7)}
CURRENT = {model: configuration(model, 1, current=True) for model in KINDS}
OTHERS = {model: [configuration(model, count) for count in (2, 4)] for model in KINDS}


def goal(budgets: dict[str, float] | None = None, **weights: float) -> JointGoal:
    limits = budgets or {}
    goals = {model: Goal(latency_budget_ms=limits.get(model)) for model in KINDS}
    return JointGoal(goals, {model: weights.get(model, 1.0) for model in KINDS})


def search(
    bench: SharedCores, candidates: dict[str, Candidates], wanted: JointGoal | None = None, seconds: float = 300.0
) -> JointFound:
    return JointSearch(bench, candidates, wanted or goal(), OPTIONS, seconds, clock=bench.clock).run()


def raced(bench: SharedCores, found: JointFound, wanted: JointGoal | None = None) -> JointFinals:
    return run_joint_finals(
        bench, found.baseline, found.rival, wanted or goal(), OPTIONS, 0.02, 200.0, clock=bench.clock
    )


def recommended(bench: SharedCores, wanted: JointGoal | None = None, **more) -> JointRecommendation:
    found = search(bench, tried(bench, CURRENT, OTHERS, **more), wanted)
    return recommend_together(raced(bench, found, wanted))


def true_mean(bench: SharedCores, arrangement: Arrangement, wanted: JointGoal) -> float:
    rates = bench.true(arrangement)
    logs = sum(wanted.weights[model] * math.log(rate) for model, rate in rates.items())
    return math.exp(logs / sum(wanted.weights.values()))


def best_by_force(bench: SharedCores, candidates: dict[str, Candidates], wanted: JointGoal) -> Arrangement:
    every = [Arrangement(choices) for choices in product(*(one.choices for one in candidates.values()))]
    return max(every, key=lambda one: true_mean(bench, one, wanted))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weights", [{}, {"a": 4.0}, {"b": 4.0}])
def test_the_best_for_all_is_found_and_is_not_what_is_best_for_each_alone(seed, weights):
    bench, wanted = SharedCores(KINDS, seed), goal(**weights)
    candidates = tried(bench, CURRENT, OTHERS)
    found = search(bench, candidates, wanted)
    best = best_by_force(bench, candidates, wanted)
    assert true_mean(bench, found.best, wanted) > 0.97 * true_mean(bench, best, wanted)
    alone = Arrangement(tuple(one.choices[1] for one in candidates.values()))
    assert [choice.configuration.instances for choice in alone.choices] == [4, 4]
    assert true_mean(bench, found.best, wanted) > 1.2 * true_mean(bench, alone, wanted)
    assert len(found.windows) < math.prod(len(one.choices) for one in candidates.values())


def test_a_heavier_model_gets_more_of_the_machine():
    fair = search(SharedCores(KINDS), tried(SharedCores(KINDS), CURRENT, OTHERS)).best
    bench = SharedCores(KINDS)
    tilted = search(bench, tried(bench, CURRENT, OTHERS), goal(a=6.0)).best
    assert bench.true(tilted)["a"] > 1.2 * bench.true(fair)["a"]
    assert bench.true(tilted)["b"] < bench.true(fair)["b"]


def test_what_is_claimed_of_all_and_of_each_is_true():
    bench = SharedCores(KINDS)
    found = recommended(bench)
    assert found.outcome is Outcome.TAKE
    assert found.may_be_applied
    before, after = bench.true(found.finals.baseline), bench.true(found.chosen)
    for model, gain in found.gains.items():
        assert gain.low <= after[model] / before[model] - 1 <= gain.high
        assert gain.verdict is Verdict.BETTER
    mean = math.sqrt(math.prod(after[model] / before[model] for model in KINDS)) - 1
    assert found.gain.low <= mean <= found.gain.high
    assert "While all models run, they gain" in found.sentence()
    assert "a +" in found.sentence()
    assert "b +" in found.sentence()


def test_budgets_hold_while_all_run_and_not_only_alone():
    """With 8 outstanding requests, `a` keeps 30 ms alone (20 ms), and not beside `b`."""
    bench, wanted = SharedCores(KINDS), goal({"a": 30.0})
    found = recommended(bench, wanted)
    assert found.outcome is Outcome.TAKE
    choice = found.chosen.of("a")
    assert 1e3 * choice.load.concurrency / bench.true(found.chosen)["a"] < 30
    assert choice.load.concurrency < 8
    assert found.measured("a").latency_ms(0.99) < 30


def test_a_budget_that_nothing_keeps_is_said():
    bench, wanted = SharedCores(KINDS), goal({"b": 0.5})
    found = recommended(bench, wanted)
    assert found.outcome is Outcome.OVER_BUDGET
    assert not found.may_be_applied
    assert "latency budget of b" in found.sentence()


def test_what_does_not_load_is_a_result_and_the_search_goes_on():
    broken = OTHERS["a"][1].label
    bench = SharedCores(KINDS, broken=frozenset({broken}))
    candidates = tried(bench, CURRENT, OTHERS)
    found = search(bench, candidates)
    assert [(one.choice.model, one.choice.configuration.label, one.reason) for one in found.failures][:1] == [
        ("a", broken, "no such operator")
    ]
    assert found.best is not found.baseline
    assert sum(arrangement.of("a").configuration.label == broken for arrangement in bench.visits) == 1


def test_what_ends_a_search_at_once_is_among_its_failures():
    broken = CURRENT["b"].label
    bench = SharedCores(KINDS, broken=frozenset({broken}))
    told = []
    searching = JointSearch(bench, tried(bench, CURRENT, OTHERS), goal(), OPTIONS, 300.0, failed=told.append)
    with pytest.raises(CannotMeasureTogetherError, match="no such operator"):
        searching.run()
    # both current configurations have the same label here, so the first of them is blamed
    assert [(one.choice.configuration.label, one.reason) for one in told] == [(broken, "no such operator")]
    assert searching.found.failures == told


def test_what_gives_other_answers_is_never_taken():
    bench = SharedCores(KINDS)
    candidates = tried(bench, CURRENT, OTHERS, may_win=lambda one: one.current or one.config.name == "b")
    found = search(bench, candidates)
    assert found.best.of("a").configuration.current
    assert found.rival.of("a").configuration.current
    assert not found.best.of("b").configuration.current


@pytest.mark.parametrize("busy", [0.0, 0.4])
def test_no_gain_is_claimed_between_equals(busy):
    """Forty analyses whose only candidates run as what is there."""
    claims = 0
    for seed in range(40):
        bench = SharedCores(KINDS, seed, busy=busy)
        twins = {model: [configuration(model, 1, 4)] for model in KINDS}
        candidates = {
            model: Candidates((one.choices[0], _twin(one, twins[model][0])), one.loads)
            for model, one in tried(bench, CURRENT, twins).items()
        }
        found = recommend_together(raced(bench, search(bench, candidates)))
        claims += found.outcome is Outcome.TAKE
    assert claims == 0


def _twin(one: Candidates, configuration: Configuration) -> Choice:
    return replace(one.choices[0], configuration=configuration)


def test_a_machine_that_is_never_quiet_proves_nothing():
    bench = SharedCores(KINDS, busy=1.0)
    found = recommended(bench)
    assert found.outcome is Outcome.UNDECIDED
    assert "others disturbed" in found.sentence()
    assert "%" not in found.sentence()
    assert not found.may_be_applied
    assert found.keeps_current


@pytest.mark.parametrize("visits", [1, 3, 12])
def test_stopped_in_the_middle(visits):
    bench = SharedCores(KINDS, stop_after=visits)
    found = search(bench, tried(bench, CURRENT, OTHERS))
    if not found.stopped:
        finals = raced(bench, found)
        assert finals.interrupted
        assert recommend_together(finals).outcome is Outcome.UNDECIDED
    else:
        assert len(bench.visits) == visits
        assert found.rival is None


def test_the_time_is_kept():
    bench = SharedCores(KINDS)
    found = search(bench, tried(bench, CURRENT, OTHERS), seconds=12.0)
    assert not found.in_time
    assert bench.now < 12.0 + 2 * 3.0
    assert found.best is not None


def test_three_models():
    kinds = {**KINDS, "c": Kind(10.0)}
    bench = SharedCores(kinds)
    current = {**CURRENT, "c": configuration("c", 1, current=True)}
    others = {**OTHERS, "c": [configuration("c", count) for count in (2, 4)]}
    wanted = JointGoal(dict.fromkeys(kinds, Goal()), dict.fromkeys(kinds, 1.0))
    candidates = tried(bench, current, others)
    found = search(bench, candidates, wanted)
    best = best_by_force(bench, candidates, wanted)
    assert true_mean(bench, found.best, wanted) > 0.95 * true_mean(bench, best, wanted)
    assert len(found.windows) < 50 < math.prod(len(one.choices) for one in candidates.values())


@pytest.mark.parametrize("busy", [0.0, 1.0])
def test_where_nothing_else_may_win_the_current_ones_are_measured_and_kept(busy):
    bench = SharedCores(KINDS, busy=busy)
    candidates = tried(bench, CURRENT, OTHERS, may_win=lambda one: one.current)
    finals = raced(bench, search(bench, candidates))
    found = recommend_together(finals)
    assert finals.rival is None
    assert found.keeps_current
    if busy:
        assert found.outcome is Outcome.UNDECIDED
    else:
        assert found.outcome is Outcome.KEEP
        assert "infer/s" in found.numbers("a")


def test_a_finalist_that_fails_in_the_finals_leaves_it_undecided():
    bench = SharedCores(KINDS)
    found = search(bench, tried(bench, CURRENT, OTHERS))
    bench.broken = frozenset({found.rival.of("a").configuration.label})
    recommendation = recommend_together(raced(bench, found))
    assert recommendation.outcome is Outcome.UNDECIDED
    assert "no such operator" in recommendation.sentence()
    assert recommendation.chosen is found.baseline


def test_a_model_whose_latency_counts_is_told_so_and_in_percent_of_latency():
    bench = SharedCores(KINDS)
    wanted = JointGoal({"a": Goal(Objective.LATENCY), "b": Goal()}, dict.fromkeys(KINDS, 1.0))
    found = recommended(bench, wanted)
    assert found.outcome is Outcome.TAKE
    before, after = bench.true(found.finals.baseline), bench.true(found.chosen)
    less = 1 - before["a"] / after["a"]
    said = wanted.goals["a"].said(found.gains["a"])
    assert said.gain == pytest.approx(less, abs=0.05)
    assert f"a {100 * said.gain:+.0f} %" in found.sentence()
    assert "less p99 latency" in found.sentence()
