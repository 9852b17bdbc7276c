"""Which loads `tcli perf` measures: ranges, searches, recorded gaps."""

import pytest

from tcli_analyzer.perf.loads import Range, RangeError, Search, binary, linear, read_intervals


def visited(search: Search, keeps) -> list[float]:
    """The values that a search measures, given which of them keep the limit."""
    values = []
    value = next(search)
    while True:
        values.append(value)
        try:
            value = search.send(keeps(value))
        except StopIteration:
            return values


@pytest.mark.parametrize(
    ("text", "expected"), [("4", (4, 4, 1)), ("1:8", (1, 8, 1)), ("2:8:3", (2, 8, 3)), ("1:0", (1, 0, 1))]
)
def test_ranges(text, expected):
    asked = Range.parse(text, whole=True)
    assert (asked.start, asked.end, asked.step) == expected


@pytest.mark.parametrize("text", ["", "a", "0", "-1", "1:2:0", "4:2", "1:2:3:4", "1.5", "nan", "1:", "1:inf", "1e400"])
def test_texts_that_are_no_ranges(text):
    with pytest.raises(RangeError, match=r"expected|number|must be"):
        Range.parse(text, whole=True)


def test_rates_may_have_fractions():
    assert Range.parse("0.5:2:0.5", whole=False) == Range(0.5, 2.0, 0.5)
    with pytest.raises(RangeError, match="'x' is not a number"):
        Range.parse("1:x", whole=False)


def test_a_linear_search_takes_every_step():
    assert visited(linear(Range(1, 8, 2)), lambda _: True) == [1, 3, 5, 7]
    assert visited(linear(Range(0.1, 0.3, 0.1)), lambda _: True) == pytest.approx([0.1, 0.2, 0.3])


def test_a_linear_search_ends_with_the_first_that_breaks_the_limit():
    assert visited(linear(Range(1, 8, 1)), lambda value: value < 3) == [1, 2, 3]
    assert visited(linear(Range(1, 0, 1)), lambda value: value < 30)[-1] == 30


@pytest.mark.parametrize("most", range(1, 17))
def test_a_binary_search_finds_the_last_that_keeps_the_limit(most):
    values = visited(binary(Range(1, 16, 1)), lambda value: value <= most)
    assert max(value for value in values if value <= most) == most
    assert len(values) <= 6
    assert len(set(values)) == len(values)


def test_a_binary_search_that_need_not_go_on():
    assert visited(binary(Range(1, 16, 1)), lambda _: False) == [1]
    assert visited(binary(Range(1, 16, 1)), lambda _: True) == [1, 16]


def test_recorded_gaps():
    assert read_intervals(iter(["1000\n", "\n", "2500.5\n"])) == (0.001, 0.0025005)


@pytest.mark.parametrize("lines", [[], ["0\n"], ["x\n"], ["-1\n"], ["1\n", "inf\n"]])
def test_files_that_are_no_gaps(lines):
    with pytest.raises(RangeError, match="expected"):
        read_intervals(iter(lines))
