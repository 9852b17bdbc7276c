"""`benchmarks/compare.py`: when it calls a commit slower than another."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from compare import Ratio, compared, median_interval

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "compare.py"


@pytest.mark.parametrize("count", [6, 7, 9, 20, 101])
def test_the_interval_has_the_median_in_it_as_often_as_it_says(count: int):
    low, high = median_interval([float(value) for value in range(count)])
    below, above = int(low), count - 1 - int(high)
    assert below == above
    assert binom.cdf(count - 1 - above, count, 0.5) - binom.cdf(below, count, 0.5) >= 0.95
    closer = binom.cdf(count - 2 - above, count, 0.5) - binom.cdf(below + 1, count, 0.5)
    assert closer < 0.95  # no narrower one would do


def test_the_interval_holds_what_it_says_of_noise():
    random = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        low, high = median_interval(list(random.lognormal(size=9)))
        held += low <= 1 <= high
    assert held / 2000 > 0.94


def test_too_few_rounds_are_no_interval():
    with pytest.raises(ValueError, match="6 or more"):
        median_interval([1.0] * 5)


def test_a_slowdown_is_one_when_the_whole_interval_is_beyond_the_threshold():
    steady = compared("http", "time", [1.0] * 7, [1.1] * 7)
    assert steady.is_slower(0.05)
    assert not steady.is_slower(0.15)
    noisy = compared("http", "time", [1.0] * 7, [0.9, 1.0, 1.1, 1.1, 1.1, 1.2, 1.3])
    assert noisy.ratio == pytest.approx(1.1)
    assert not noisy.is_slower(0.05)
    assert not Ratio("http", "time", 0.8, 0.7, 0.9).is_slower(0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-commit", "HEAD"], "no-such-commit"),
        (["--rounds", "5", "HEAD", "HEAD"], "6 or more"),
        (["HEAD"], "REVISION"),
    ],
)
def test_wrong_arguments_are_said_before_anything_runs(arguments: list[str], said: str):
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
