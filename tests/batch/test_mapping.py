"""Columns find their inputs by name, by number, or as the user says."""

import pytest

from tcli_batch.errors import DataError
from tcli_batch.mapping import map_columns, parse_map
from tcli_batch.signature import Signature, Tensor

PAIR = Signature("add", "1", (Tensor("INPUT0", "FP32", (3,)), Tensor("INPUT1", "FP32", (3,))), (), 8, True)
ONE = Signature("embed", "1", (Tensor("text", "BYTES", (1,)),), (), 8, True)
OPTIONAL = Signature("m", "1", (Tensor("a", "FP32", (1,), True), Tensor("b", "FP32", (1,), True)), (), 8, True)


def mapped(signature: Signature, columns: list[str], *given: str) -> dict[str, tuple[str, ...]]:
    return map_columns(signature, columns, parse_map(signature, given), "data.csv")


def test_equal_names_go_before_equal_letters():
    assert mapped(PAIR, ["id", "input0", "INPUT0", "Input1"]) == {"INPUT0": ("INPUT0",), "INPUT1": ("Input1",)}


@pytest.mark.parametrize("form", ["{}_{}", "{}.{}", "{}[{}]"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_numbered_column_for_each_value(form: str, first: int):
    columns = [form.format(name, number + first) for name in ("INPUT1", "input0") for number in (2, 0, 1)]
    found = mapped(PAIR, columns)
    assert found["INPUT0"] == tuple(form.format("input0", number + first) for number in range(3))


def test_the_only_column_is_for_the_only_input():
    assert mapped(ONE, ["review"]) == {"text": ("review",)}
    with pytest.raises(DataError, match="no column is called as input 'text'") as told:
        mapped(ONE, ["review", "stars"])
    assert "--map text=COLUMN; its columns: review, stars" in told.value.fix


def test_what_the_user_says_goes_first():
    assert mapped(PAIR, ["INPUT0", "INPUT1", "a", "b", "c"], "INPUT0=a,b,c")["INPUT0"] == ("a", "b", "c")


def test_an_optional_input_may_have_no_column():
    assert mapped(OPTIONAL, ["b", "c"]) == {"b": ("b",)}
    with pytest.raises(DataError, match="no column is called as an input"):
        mapped(OPTIONAL, ["c", "d"])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("INPUT0", "'INPUT0' is no mapping"),
        ("=a", "'=a' is no mapping"),
        ("x=a", "no input 'x'"),
        ("INPUT0=z", "no column 'z'"),
    ],
)
def test_a_wrong_mapping_is_told(given: str, reason: str):
    with pytest.raises(DataError, match=reason):
        mapped(PAIR, ["INPUT0", "INPUT1"], given)


def test_one_input_is_mapped_once():
    with pytest.raises(DataError, match="mapped twice"):
        mapped(PAIR, ["a"], "INPUT0=a", "INPUT0=a")
