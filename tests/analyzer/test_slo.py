"""Objectives on latencies: how they are written, and when they are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcli_analyzer.rate.slo import Condition, Slo, SloError, parse_slo


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("p99<=50ms", [Condition(0.99, 50)]),
        (" p99.9 < 1.5 s ", [Condition(0.999, 1500, strict=True)]),
        ("avg<=800us", [Condition(None, 0.8)]),
        ("p50 ≤ 20ms, p95<=0.03s", [Condition(0.5, 20), Condition(0.95, 30)]),
    ],
)
def test_what_can_be_written(text: str, conditions: list[Condition]):
    assert parse_slo(text).conditions == tuple(conditions)


@pytest.mark.parametrize(
    ("text", "at", "found", "expected"),
    [
        ("", 0, "nothing here", "like p99<=50ms"),
        ("p99<=50ms,", 10, "nothing here", "a condition"),
        ("q99<=50ms", 0, "no figure 'q99'", "p50 to p99.9"),
        ("p99.99<=50ms", 0, "p99.99 is out of range", "p50 to p99.9, or avg"),
        ("p10<=50ms", 0, "p10 is out of range", "p50 to p99.9, or avg"),
        ("p99>=50ms", 3, "no comparison", "<= or <"),
        ("p99=50ms", 3, "no comparison", "<= or <"),
        ("p99", 3, "no comparison (the text ends)", "<= or <"),
        ("p99<=fast", 5, "no limit 'fast'", "a number above 0"),
        ("p99<=0ms", 5, "no limit '0ms'", "a number above 0"),
        ("p99<=-5ms", 5, "no limit '-5ms'", "a number above 0"),
        ("p99<=50", 7, "the unit is missing", "such as 50ms"),
        ("p99<=1e300s", 5, "1e300s is out of range", "at most"),
        ("p99<=50 min", 8, "no unit 'min'", "us, ms or s"),
        ("avg<=5ms, p99<=50ms,p99<60ms", 20, "p99 has a limit already", "one limit"),
    ],
)
def test_what_cannot_is_shown_with_its_place(text: str, at: int, found: str, expected: str):
    with pytest.raises(SloError) as raised:
        parse_slo(text)
    message, shown, caret = str(raised.value).split("\n")
    assert found in message
    assert expected in message
    assert shown == f"  {text}"
    assert caret.index("^") - 2 == at


@given(st.text(alphabet="pavg0159.<=µms ,x", max_size=20))
def test_any_text_is_read_or_refused(text: str):
    try:
        slo = parse_slo(text)
    except SloError:
        return
    assert parse_slo(",".join(condition.text for condition in slo.conditions)) == slo


def test_a_percentile_is_kept_if_few_enough_are_over():
    latencies = np.array([10.0] * 99 + [90.0])
    assert Condition(0.99, 50).keeps(latencies)
    assert not Condition(0.99, 50).keeps(np.append(latencies, [90.0]))
    assert Condition(0.99, 90).over(latencies).sum() == 0
    assert Condition(0.99, 90, strict=True).over(latencies).sum() == 1
    assert Condition(None, 10.8).keeps(latencies)
    assert not Condition(None, 10.8, strict=True).keeps(latencies)
    assert not Slo((Condition(0.5, 20), Condition(0.999, 50))).keeps(latencies)
    assert not Condition(0.99, 50).keeps(np.empty(0))
