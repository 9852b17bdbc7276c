"""Tables and documents have everything, and say where each sample comes from."""

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from measured_points import BUSY, finals, point, window
from tcli_analyzer.analysis import Analysis
from tcli_analyzer.earlier import SCHEMA
from tcli_analyzer.goal import Goal
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.prediction.stored import read_tables
from tcli_analyzer.results import Sample, Stage, point_row, points_frame, results_document, windows_frame
from tcli_analyzer.target import Counters
from told_analyses import BEGAN, told


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return told(tmp_path_factory.mktemp("told"))


@pytest.fixture(scope="module")
def document(analysis) -> dict:
    return json.loads(json.dumps(results_document(analysis), allow_nan=False))


def test_every_stage_is_there(analysis, document):
    stages = Counter(row["stage"] for row in document["points"])
    probes = sum(len(found.probes) for found in analysis.rates.values())
    assert stages == {
        "search": len(analysis.points),
        "check": len(analysis.checks),
        "final": len(analysis.finals.points),
        "rate": probes,
    }
    assert set(document["points"][0]) == set(points_frame(analysis).columns)
    assert document["schema_version"] == SCHEMA


def test_every_window_says_where_it_comes_from_and_what_speaks_against_it(document):
    windows = document["windows"]
    assert len(windows) == sum(row["windows"] for row in document["points"])
    for row in windows:
        of = document["points"][row["point"]]
        assert (row["stage"], row["name"], row["request_rate"]) == (of["stage"], of["name"], of["request_rate"])
        assert bool(row["why_not"]) == (not row["clean"])
    disturbed = [row for row in windows if not row["clean"]]
    assert disturbed
    assert all(row["why_not"] == "others took 50.0 % of the processor time" for row in disturbed)
    assert {row["verdict"] for row in windows} == {"clean", "disturbed"}
    assert min(datetime.fromisoformat(row["began"]).timestamp() for row in windows) == pytest.approx(BEGAN, abs=0.01)


def test_settings_and_answers_stand_beside_the_numbers(document):
    wrong = next(row for row in document["points"] if row["accuracy_verdict"] == "wrong")
    assert (wrong["engine"], wrong["precision"], wrong["name"]) == ("openvino", "bf16", "net_config_8")
    assert wrong["accuracy_largest_relative"] == pytest.approx(0.031)
    assert wrong["accuracy_top1_low"] == pytest.approx(0.81, abs=0.01)
    assert document["accuracy"]["net_config_8"]["may_win"] is False
    own = next(row for row in document["points"] if row["current"])
    assert (own["name"], own["engine"], own["accuracy_verdict"]) == ("net_config_default", "onnxruntime", "")


def test_service_times_can_be_read_again(analysis, document):
    again = read_tables(document["prediction"]["tables"])
    (table,), (before,) = again.tables, analysis.prediction.tables.tables
    assert (table.label, sorted(table.service.entries)) == (before.label, sorted(before.service.entries))
    assert document["prediction"]["agreement"]["closed loop"]["throughput"]["mean"] == 0.022
    assert document["prediction"]["agreement"]["open loop (check)"]["rank_correlation"] is None


def test_comparisons_can_be_made_again_from_their_pairs(analysis, document):
    compared = document["finals"]["comparisons"]
    assert [one["against"] for one in compared].count(analysis.finals.points[0].configuration.label) == 3
    best = next(one for one in compared if one["configuration"] == "batch 8, 1 instance")
    assert best["verdict"] == "better"
    assert len(best["ratios"]) == best["pairs"]
    assert 100 * np.expm1(np.median(np.log(best["ratios"]))) == pytest.approx(best["percent"])
    assert document["finals"]["dropped_windows"] == 3


def test_rates_have_their_probes(document):
    (best, own) = document["rates"]
    assert best["may_be_claimed"]
    assert best["low"] < best["rate"] < best["high"]
    assert [probe["counts"] for probe in best["probes"]] == [True, True, False, True]
    assert own["name"] == "net_config_default"


def test_nothing_is_recommended_where_nothing_is_decided(tmp_path):
    undecided = told(tmp_path, undecided=True)
    assert not points_frame(undecided)["recommended"].any()
    document = results_document(undecided)
    assert document["recommendation"]["throughput_infer_per_s"] is None
    assert document["recommendation"]["gain_over_current"] is None


def test_windows_have_all_latencies_for_those_who_want_them(analysis):
    frame = windows_frame(analysis, latencies=True)
    assert [len(latencies) for latencies in frame["latencies_ms"]] == frame["requests"].tolist()


def test_a_window_in_which_nothing_was_answered_is_no_number(done):
    empty = point(1, 1, [100.0])
    (window,) = empty.windows.windows
    nothing = replace(window, latencies_ms=np.empty(0), processor=BUSY)
    analysis = replace(
        done.analysis,
        points=[replace(empty, windows=replace(empty.windows, windows=(nothing,)))],
        finals=finals([point(1, 1, [100.0], current=True)]),
    )
    row = json.loads(json.dumps(results_document(analysis), allow_nan=False))["points"][0]
    assert row["requests"] == 0
    assert row["latency_p99_ms"] is None


def test_where_the_server_counts_nothing_its_figures_are_missing_not_zero():
    uncounted = replace(point(8, 1, [100.0, 101.0]), windows=Windows([replace(window(100.0), counters=Counters())]))
    row = point_row(Sample(Stage.SEARCH, uncounted), Goal(), "m")
    assert row["executed_batch_avg"] is None
    assert row["queue_ms"] is None
    assert row["throughput_infer_per_s"] == 100.0
