"""Which configuration is said to take the highest rate within an objective."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from measured_points import configuration, finals, point, steady, window
from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.configuration import Configuration, vary
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.limit import GeneratorLimit
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.prediction.service import Entry, ServiceTimes
from tcli_analyzer.prediction.stored import StoredTable, StoredTables
from tcli_analyzer.rate.choice import RateChoice, by_rate, choose_by_rate, rate_candidates
from tcli_analyzer.rate.found import Purpose, RateFound, RateProbe, Verdict
from tcli_analyzer.rate.probing import RateOptions
from tcli_analyzer.rate.several import favourite, find_rates, starts_of
from tcli_analyzer.rate.slo import parse_slo
from tcli_analyzer.recommendation import Outcome, Recommendation, recommend
from virtual_bench import VirtualBench, fixed

SLO = parse_slo("p99<=50ms")
NOW, FOUR, EIGHT = configuration(0, 1, current=True), configuration(4, 1), configuration(8, 2)


def takes(rate: float, low: float, high: float, verdict: Verdict = Verdict.CONFIRMED) -> RateFound:
    probe = RateProbe(rate, Windows([window(rate)]), Purpose.CONFIRM, counts=True)
    return RateFound(NOW, SLO, verdict, rate, low, high, rate, SLO.conditions[0], 40.0, probes=(probe,))


NONE = RateFound(NOW, SLO, Verdict.IMPOSSIBLE, None, binding=SLO.conditions[0], alone_ms=80.0)
DISTURBED = RateFound(NOW, SLO, Verdict.DISTURBED, 60.0, low=60.0, binding=SLO.conditions[0])


def chosen(found: Mapping[Configuration, RateFound], wanted: Sequence[Configuration] | None = None) -> RateChoice:
    choice = choose_by_rate(SLO, wanted or list(found), found)
    assert choice is not None
    return choice


def test_the_highest_proven_rate_wins_with_both_intervals():
    found = chosen({EIGHT: takes(112, 105, 118), NOW: takes(80, 76, 84), FOUR: takes(95, 90, 99)})
    assert (found.outcome, found.chosen) == (Outcome.TAKE, EIGHT)
    assert found.text == (
        "It takes 112 requests/s [105, 118] with p99 <= 50 ms, the current configuration 80.0 [76.0, 84.0]."
    )


def test_of_those_whose_intervals_meet_the_best_ones_the_simplest_is_taken():
    found = chosen({EIGHT: takes(112, 105, 118), NOW: takes(80, 76, 84), FOUR: takes(104, 98, 109)})
    assert found.chosen is FOUR


def test_intervals_that_meet_the_current_ones_change_nothing():
    found = chosen({EIGHT: takes(90, 83, 97), NOW: takes(80, 76, 84)})
    assert (found.outcome, found.chosen) == (Outcome.KEEP, NOW)
    assert "nothing is proven to take more: batch 8, 2 instances takes 90.0 [83.0, 97.0]" in found.text


def test_a_current_configuration_that_keeps_it_at_no_rate_is_left():
    found = chosen({EIGHT: takes(90, 83, 97), NOW: NONE})
    assert (found.outcome, found.chosen) == (Outcome.TAKE, EIGHT)
    assert "the current configuration keeps that at no rate" in found.text


@pytest.mark.parametrize("verdict", [Verdict.UNCONFIRMED, Verdict.STOPPED])
def test_what_is_not_proven_of_the_current_one_leaves_it_undecided(verdict):
    found = chosen({EIGHT: takes(112, 105, 118), NOW: replace(takes(80, 76, 84), verdict=verdict)})
    assert (found.outcome, found.chosen) == (Outcome.UNDECIDED, NOW)
    assert "the current one stays" in found.text


def test_a_run_that_was_too_short_to_confirm_ranks_and_is_said_to_be():
    found = chosen({EIGHT: takes(112, 105, 118, Verdict.TOO_SHORT), NOW: takes(80, 76, 84)})
    assert found.chosen is EIGHT
    assert found.text.endswith("84.0]; no run was long enough to confirm that of batch 8, 2 instances.")


def test_a_disturbed_rival_may_be_better_for_all_that_is_known():
    assert chosen({EIGHT: DISTURBED, NOW: takes(80, 76, 84)}).outcome is Outcome.UNDECIDED
    assert chosen({EIGHT: DISTURBED, FOUR: takes(112, 105, 118), NOW: takes(80, 76, 84)}).chosen is FOUR


def test_what_was_not_reached_any_more_is_not_proven():
    found = chosen({EIGHT: takes(112, 105, 118)}, [EIGHT, NOW])
    assert found.outcome is Outcome.UNDECIDED
    assert "it was stopped before that was looked for" in found.text


def test_where_nothing_keeps_it_that_is_said_of_each():
    found = chosen({EIGHT: NONE, NOW: NONE})
    assert found.outcome is Outcome.OVER_BUDGET
    assert found.text.startswith("Nothing keeps p99 <= 50 ms: batch 8, 2 instances: not even one request alone")


def test_a_rate_that_is_the_generators_is_no_proof():
    found = {EIGHT: takes(112, 105, 118), NOW: takes(80, 76, 84)}
    choice = choose_by_rate(SLO, list(found), found, GeneratorLimit(closed=200, open=200, floor_ms=0.1))
    assert choice is not None
    assert choice.outcome is Outcome.UNDECIDED
    assert "limited by the load generator" in choice.text


def throughput_says() -> Recommendation:
    points = (
        point(0, 1, steady(50), current=True),
        point(4, 1, steady(80)),
        point(8, 2, steady(100)),
    )
    found = recommend(finals(points), [], None)
    assert found is not None
    assert found.chosen.configuration.max_batch_size == 8
    return found


def test_rates_decide_against_throughput():
    before = throughput_says()
    now, four, eight = (one.configuration for one in before.finals.points)
    wanted = [one.configuration for one in rate_candidates(before, None)]
    assert wanted == [eight, now, four]
    rates = {eight: NONE, now: takes(30, 28, 32), four: takes(60, 57, 63)}
    choice = choose_by_rate(SLO, wanted, rates)
    assert choice is not None
    after = by_rate(before, choice)
    assert after.chosen.configuration is four
    assert after.may_be_applied
    assert after.sentence() == (
        "Take batch 4, 1 instance: it takes 60.0 requests/s [57.0, 63.0] with p99 <= 50 ms, "
        "the current configuration 30.0 [28.0, 32.0]."
    )
    assert after.comparison().startswith("It takes 60.0")


def test_rates_that_prove_nothing_are_undecided_whatever_throughput_says():
    before = throughput_says()
    now, _, eight = (one.configuration for one in before.finals.points)
    choice = choose_by_rate(SLO, [eight, now], {eight: DISTURBED, now: takes(30, 28, 32)})
    assert choice is not None
    after = by_rate(before, choice)
    assert not after.may_be_applied
    assert after.chosen.configuration is now
    assert after.sentence().startswith("Undecided: rates with p99 <= 50 ms are not proven (batch 8, 2 instances: ")


def test_defaults_are_looked_at_only_if_they_are_recommended():
    before = throughput_says()
    four = before.finals.points[1].configuration
    assert four not in [one.configuration for one in rate_candidates(before, four)]


class TwoServers:
    """The current configuration has one server, others two; one is broken."""

    def __init__(self) -> None:
        self.benches: dict[Configuration, VirtualBench] = {}
        self.held: list[Configuration] = []

    def hold(self, configurations: Sequence[Configuration]) -> None:
        self.held = list(configurations)

    def visit(self, configuration: Configuration, load: Load, options: VisitOptions) -> list[Window]:
        if configuration.label == "broken":
            raise CannotMeasureError("no such operator")
        bench = self.benches.setdefault(configuration, VirtualBench(fixed(0.005), servers=configuration.instances))
        return bench.visit(configuration, load, options)


def test_the_whole_way_finds_the_one_with_more_servers():
    now, two = Configuration("now", 0, 1, ModelConfig(), current=True), Configuration("two", 0, 2, ModelConfig())
    broken = Configuration("broken", 0, 3, ModelConfig())
    tables = StoredTables((StoredTable("two", 2, ServiceTimes({1: Entry(0.005)}, (1.0, 1.0))),))
    slo = parse_slo("p99<=25ms")
    starts = starts_of([two, broken, now], [], tables, slo)
    assert starts.keys() == {two}
    assert starts[two].rate == pytest.approx(310, rel=0.1)
    rates: dict[Configuration, RateFound] = {}
    failures: list[tuple[Configuration, str]] = []
    bench = TwoServers()
    find_rates(
        bench, [two, broken, now], slo, starts, RateOptions(), 600.0, lambda *_: True,
        lambda *failure: failures.append(failure), rates,
    )  # fmt: skip
    assert failures == [(broken, "no such operator")]
    choice = choose_by_rate(slo, [two, now], rates)
    assert choice is not None
    assert (choice.outcome, choice.chosen) == (Outcome.TAKE, two)
    low, high = rates[two].low, rates[two].high
    assert low is not None
    assert high is not None
    assert np.log(high / low) < 0.5


def test_each_has_its_share_of_the_time():
    now, two = Configuration("now", 0, 1, ModelConfig(), current=True), Configuration("two", 0, 2, ModelConfig())
    bench = TwoServers()
    rates: dict[Configuration, RateFound] = {}
    options = RateOptions(probe_seconds=1.0)
    find_rates(bench, [two, now], parse_slo("p99<=25ms"), {}, options, 20.0, lambda *_: True, lambda *_: None, rates)
    assert rates.keys() == {two, now}
    assert all(each.seconds < 2.5 * 10 for each in bench.benches.values())  # the run under way is ended as it should


def test_tables_are_of_all_that_differ_in_the_batcher_only():
    base = ModelConfig(name="m", backend="x")
    one, eight = (Configuration(f"batch {size}", size, 1, vary(base, size, 1)) for size in (1, 8))
    tables = StoredTables((StoredTable("batch 8", 1, ServiceTimes({1: Entry(0.01), 8: Entry(0.04)})),))
    starts = starts_of([one, eight], [one, eight], tables, SLO)
    assert starts.keys() == {one, eight}
    rates = [starts[each].rate for each in (one, eight)]
    assert rates[0] is not None
    assert rates[1] is not None
    assert rates[0] < rates[1]


def test_the_favourite_is_the_one_with_the_highest_predicted_rate_not_throughput():
    """Batches of 8 do twice as much as single items, but wait for company longer than 25 ms allow."""
    base = ModelConfig(name="m", backend="x")
    one, eight = (Configuration(f"batch {size}", size, 1, vary(base, size, 1)) for size in (1, 8))
    eight.config.dynamic_batching.max_queue_delay_microseconds = 30_000
    service = ServiceTimes({1: Entry(0.010), 8: Entry(0.040)})
    tables = StoredTables((StoredTable("batch 8, without delay", 1, service),))
    assert favourite([one, eight], tables, parse_slo("p99<=500ms")) is eight
    assert favourite([one, eight], tables, parse_slo("p99<=25ms")) is one
    assert favourite([one, eight], tables, parse_slo("p99<=5ms")) is None
    assert favourite([one, eight], None, SLO) is None


def test_where_the_current_one_could_not_be_measured_nothing_is_taken():
    choice = choose_by_rate(SLO, [NOW, FOUR], {FOUR: takes(95, 90, 99)}, failed={NOW: "the server ended"})
    assert choice is not None
    assert (choice.outcome, choice.chosen) == (Outcome.UNDECIDED, NOW)
    assert "current: the server ended" in choice.text
