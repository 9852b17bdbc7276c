"""Columns of any kind as a model's input: what fits, what does not and why, and that nothing changes on the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcli_batch.errors import RowError
from tcli_batch.fitting import fit_column, fit_row
from tcli_batch.signature import Tensor
from tcli_client.tensors import DTYPES

INTEGERS = ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64")
FLOATS = ("FP16", "BF16", "FP32", "FP64")


def fitted(datatype: str, dims: tuple[int, ...], cells) -> tuple[list, dict[int, str]]:
    runs, refused = fit_column(Tensor("x", datatype, dims), cells)
    assert all(run.dtype == DTYPES[datatype] for run in runs)
    return [row.tolist() for run in runs for row in run], refused


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=8), st.sampled_from(INTEGERS))
def test_an_integer_fits_where_the_type_holds_it(values: list[int], datatype: str):
    limits = np.iinfo(DTYPES[datatype])
    inside = [value for value in values if limits.min <= value <= limits.max]
    for cells in (values, [str(value) for value in values]):
        rows, refused = fitted(datatype, (1,), cells)
        assert rows == [[value] for value in inside]
        assert sorted(refused) == [place for place, value in enumerate(values) if value not in inside]


@given(st.lists(st.floats(width=64), min_size=1, max_size=8), st.sampled_from(INTEGERS))
def test_a_float_fits_an_integer_where_it_is_whole(values: list[float], datatype: str):
    limits = np.iinfo(DTYPES[datatype])
    whole = [value for value in values if value == value // 1 and limits.min <= value <= limits.max]
    for cells in (values, np.array(values)):
        rows, refused = fitted(datatype, (1,), cells)
        assert rows == [[int(value)] for value in whole]
        assert len(refused) == len(values) - len(whole)


@given(st.lists(st.floats(width=64), min_size=1, max_size=8), st.sampled_from(FLOATS))
def test_a_float_fits_a_float_unless_it_becomes_infinite(values: list[float], datatype: str):
    with np.errstate(over="ignore"):
        become = np.array(values).astype(DTYPES[datatype]).astype(np.float64)
    kept = ~(np.isfinite(values) & np.isinf(become))
    for cells in (values, np.array(values), [repr(value) for value in values]):
        runs, refused = fit_column(Tensor("x", datatype, (1,)), cells)
        got = np.concatenate(runs).ravel().astype(np.float64) if runs else np.empty(0)
        np.testing.assert_array_equal(got, become[kept])
        assert sorted(refused) == np.flatnonzero(~kept).tolist()


@pytest.mark.parametrize(
    ("cells", "datatype", "dims", "expected"),
    [
        (["true", "0", "No"], "BOOL", (1,), [[True], [False], [False]]),
        ([True, 0, 1.0], "BOOL", (1,), [[True], [False], [True]]),
        (["a", b"\xff", "ä"], "BYTES", (1,), [[b"a"], [b"\xff"], ["ä".encode()]]),
        ([["a", "b"], ["c", "d"]], "BYTES", (2,), [[b"a", b"b"], [b"c", b"d"]]),
        (["[1, 2]", "[3,4]"], "INT32", (2,), [[1, 2], [3, 4]]),
        ([[1, 2, 3, 4]], "INT32", (2, 2), [[[1, 2], [3, 4]]]),
        ([[[1, 2]]], "INT32", (2,), [[1, 2]]),
        ([[1, 2], [3]], "INT32", (-1,), [[1, 2], [3]]),
        ([1, 2], "INT32", (-1,), [[1], [2]]),
        ([1.5], "FP32", (), [1.5]),
        ([[1, 2]], "INT32", (-1, 2), [[[1, 2]]]),
        (np.array(["x", "yz"]), "BYTES", (1,), [[b"x"], [b"yz"]]),
        (["9007199254740993"], "INT64", (1,), [[9007199254740993]]),
        ([2**63, -1, 2**63 + 1], "UINT64", (1,), [[2**63], [2**63 + 1]]),
        ([" 7 "], "UINT8", (1,), [[7]]),
    ],
)
def test_what_becomes_of_values(cells, datatype, dims, expected):
    assert fitted(datatype, dims, cells)[0] == expected


@pytest.mark.parametrize(
    ("value", "datatype", "dims", "reason"),
    [
        (300, "UINT8", (1,), "300 is not in 0 to 255"),
        (1.5, "INT32", (1,), "1.5 is no whole number"),
        (float("nan"), "INT32", (1,), "nan is not in"),
        (2, "BOOL", (1,), "2 is neither 0 nor 1"),
        (1e300, "FP32", (1,), "more than FP32 holds"),
        (None, "FP32", (1,), "no value"),
        ([1, None], "FP32", (2,), "no value"),
        ("", "FP32", (1,), "the cell is empty"),
        ("abc", "FP32", (1,), "'abc' is no number"),
        ("[1, ", "FP32", (1,), "no list of numbers"),
        ([1, 2], "FP32", (3,), r"expected a row of shape \[3\], found \[2\]"),
        ([[1, 2], [3]], "FP32", (2, 2), "lists of different lengths"),
        (5, "BYTES", (1,), "expected text, found 5"),
        ({"a": 1}, "FP32", (1,), "expected numbers|no value"),
        (["a", "b"], "FP32", (2,), "'a' is no number"),
    ],
)
def test_a_row_that_does_not_fit_says_why(value, datatype, dims, reason):
    with pytest.raises(RowError, match=reason):
        fit_row(Tensor("x", datatype, dims), value)
    rows, refused = fitted(datatype, dims, [value, value])
    assert not rows
    assert sorted(refused) == [0, 1]


def test_one_bad_row_costs_no_other():
    rows, refused = fitted("UINT8", (2,), [[1, 2], [1, 256], [3, 4], "x", [5, 6]])
    assert rows == [[1, 2], [3, 4], [5, 6]]
    assert sorted(refused) == [1, 3]
    rows, refused = fitted("UINT8", (2,), np.array([[1, 2], [1, 256], [3, 4]]))
    assert rows == [[1, 2], [3, 4]]
    assert sorted(refused) == [1]
