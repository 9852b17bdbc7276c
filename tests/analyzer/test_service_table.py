"""Tables made of windows: which of them count, and what they say."""

import numpy as np
import pytest

from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.prediction.table import all_entries, coarse_entries, make_table
from tcli_analyzer.target import Counters

QUIET, NOISY, NOISIER = (ProcessorTime(1.0, lost, lost, 0.0) for lost in (0.005, 0.2, 0.9))


def window(ms: float, processor: ProcessorTime = QUIET, count: int = 8) -> Window:
    return Window(0.0, 1.0, np.full(count, ms), Counters(count, count, count), processor)


def test_which_entries_a_table_has():
    assert coarse_entries(8, 2) == [(1, 2), (8, 2), (1, 1)]
    assert all_entries(8, 2) == [(1, 2), (8, 2), (1, 1), (2, 2), (4, 2), (8, 1)]
    assert all_entries(2, 1) == [(1, 1), (2, 1)]
    assert all_entries(1, 1) == [(1, 1)]


def test_times_alone_and_what_running_side_by_side_costs():
    table = make_table(
        {(1, 2): [window(15)], (8, 2): [window(60)], (1, 1): [window(10)], (8, 1): [window(40)]}, instances=2
    )
    assert table.service.factor(1) == 1
    assert table.service.factor(2) == pytest.approx(1.5)
    assert table.service.seconds(1) == pytest.approx(0.010, rel=0.01)
    assert table.service.seconds(8) == pytest.approx(0.040, rel=0.01)
    assert table.is_clean
    assert table.is_coarse  # 2 and 4 are missing


def test_disturbed_windows_do_not_enter():
    table = make_table({(1, 1): [window(10), window(30, NOISIER), window(11)]}, instances=1)
    assert table.service.seconds(1) == pytest.approx(0.0105, rel=0.01)
    assert table.is_clean
    assert not table.is_coarse
    assert table.variation == pytest.approx(np.std([10, 11], ddof=1) / 10.5)


def test_without_a_clean_window_those_that_lost_least_count_and_it_is_known():
    table = make_table({(1, 1): [window(30, NOISIER), window(13, NOISY)]}, instances=1)
    assert table.service.seconds(1) == pytest.approx(0.013, rel=0.01)
    assert not table.is_clean


def test_variation_is_that_of_one_window_from_all_entries_together():
    random = np.random.default_rng(0)
    windows = {(size, 1): [window(size * random.normal(10, 0.5)) for _ in range(3)] for size in range(1, 200)}
    assert make_table(windows, 1).variation == pytest.approx(0.05, rel=0.1)
    assert make_table({(1, 1): [window(10)]}, 1).variation == 0
