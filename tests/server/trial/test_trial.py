"""What is rounding and what is a wrong batch, on functions that are known to be the one or the other."""

import re
from collections.abc import Callable, Sequence

import ml_dtypes
import numpy as np
import pytest

from tcli_server.trial import (
    Item,
    LostBatchError,
    RunError,
    TrialInput,
    Verdict,
    try_batches,
    try_items,
)

Rows = Callable[[np.ndarray], np.ndarray]
X = TrialInput("x", "FP32", (16,))


def tried(rows: Rows, *inputs: TrialInput, sizes: Sequence[int] = (2, 3, 8), seconds: float = 60) -> Verdict:
    """The verdict on a function of a batch of x."""

    def together(items: Sequence[Item]) -> list[Item]:
        return [{"y": np.asarray(row)} for row in rows(np.stack([item["x"] for item in items]))]

    return try_batches(inputs or [X], lambda item: together([item])[0], {"": together}, sizes, seconds)


def noisy(part: float) -> Rows:
    """Twice x, with relative errors that only the size of the batch decides, as another kernel's rounding has."""

    def rows(x: np.ndarray) -> np.ndarray:
        errors = np.random.default_rng(len(x)).uniform(-part, part, x.shape[1:])
        return (2 * x * (1 + errors)).astype(np.float32)

    return rows


def mixed(part: float) -> Rows:
    """x, and a part of the mean of the batch."""
    return lambda x: (x + part * (x.mean(0) - x)).astype(np.float32)


def test_what_keeps_its_items_apart_is_right():
    verdict = tried(np.tanh)
    assert (verdict.outcome, verdict.sizes) == ("ok", (2, 3, 8))
    assert verdict.sentence == "batches of 2, 3, 8 give what single items give, to the last bit"
    assert dict(verdict.shapes) == {"x": (16,)}


@pytest.mark.parametrize("part", [0.5, 0.01, 0.001])
def test_a_small_part_of_the_others_is_too_much(part: float):
    verdict = tried(mixed(part))
    assert verdict.outcome == "wrong"
    assert verdict.output == "y"


def test_a_wrong_answer_is_told_with_place_and_numbers():
    def swapped(x: np.ndarray) -> np.ndarray:
        return x[::-1]

    verdict = tried(swapped)
    assert verdict.item == 0
    assert verdict.reason.startswith("output 'y' for a batch of 2 is not what 2 single items give: item 0, element [")
    assert ", alone " in verdict.reason
    assert "rounding explains 0.1 %" in verdict.reason


@pytest.mark.parametrize("part", [1e-6, 1e-4, 0.01])
def test_rounding_of_models_that_compute_in_less_is_not_blamed_on_the_batch(part: float):
    """The others in the batch have no influence at all."""
    verdict = tried(noisy(part))
    assert verdict.outcome == "ok"
    assert 0 < verdict.difference < 0.05


@pytest.mark.parametrize("sizes", [(2,), (3,), (2, 3), (8,)])
def test_companions_tell_a_little_mixing_from_rounding_with_any_sizes(sizes: tuple[int, ...]):
    """Both differ by less than 0.1 % from what the items give alone."""
    assert tried(mixed(0.001), sizes=sizes).outcome == "wrong"
    assert tried(noisy(0.0005), sizes=sizes).outcome == "ok"


def test_errors_larger_than_any_rounding_are_wrong():
    assert tried(noisy(0.2)).outcome == "wrong"


def test_what_comes_after_an_item_may_depend_on_it():
    """As in a recurrent network whose first dimension is time: the first row is right in every batch."""
    assert tried(lambda x: x + 0.002 * (np.cumsum(x, 0) - x)).outcome == "wrong"


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_the_last_bits_of_16_bit_numbers_are_rounding(dtype: type):
    def rows(x: np.ndarray) -> np.ndarray:
        return noisy(0.002)(x).astype(dtype)

    assert tried(rows).outcome == "ok"
    assert tried(lambda x: mixed(0.3)(x).astype(dtype)).outcome == "wrong"


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_quantized_answers_may_be_one_apart(dtype: type):
    def rows(x: np.ndarray) -> np.ndarray:
        return (np.clip(np.abs(x) * 20, 0, 100) + len(x) % 2).astype(dtype)

    assert tried(rows).outcome == "ok"
    assert tried(lambda x: (np.abs(x).max() * 20 + 0 * x).clip(0, 100).astype(dtype)).outcome == "wrong"


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.bool_])
def test_other_whole_numbers_must_be_the_same(dtype: type):
    def rows(x: np.ndarray) -> np.ndarray:
        return (np.abs(x) * 3 + (len(x) > 2)).astype(dtype) if dtype != np.bool_ else (x > 0) ^ (len(x) > 2)

    verdict = tried(rows)
    assert verdict.outcome == "wrong"
    found = re.search(r"for a batch of 3 is .*: item (\d), element \[\d+\] is (\w+), alone (\w+)", verdict.reason)
    assert found is not None
    assert int(found[1]) == verdict.item
    assert found[2] != found[3]


def test_strings_must_be_the_same():
    words = TrialInput("x", "BYTES", (2,))
    assert tried(lambda x: x, words).outcome == "ok"

    def padded(x: np.ndarray) -> np.ndarray:
        return np.array([item + b" " * len(x) for item in x.ravel()], np.object_).reshape(x.shape)

    verdict = tried(padded, words)
    assert verdict.outcome == "wrong"
    assert "alone '" in verdict.reason


def test_another_shape_or_type_in_a_batch_is_wrong():
    longer = tried(lambda x: np.pad(x, ((0, 0), (0, len(x) - 1))))
    assert "item 0 gives float32 [17], alone float32 [16]" in longer.reason
    assert tried(lambda x: x.astype(np.float64) if len(x) > 1 else x).outcome == "wrong"


def test_infinities_and_nans_are_compared_as_what_they_are():
    with np.errstate(invalid="ignore"):
        assert tried(np.sqrt).outcome == "ok"  # half of the numbers are negative
    assert tried(lambda x: np.where(len(x) > 2, np.nan, x).astype(np.float32)).outcome == "wrong"


def test_randomness_is_recognised_and_not_blamed_on_the_batch():
    random = np.random.default_rng()
    verdict = tried(lambda x: x + random.normal(size=x.shape))
    assert verdict.outcome == "unchecked"
    assert "two runs on the same input give different answers" in verdict.reason


def test_a_rare_accident_is_recognised_too():
    """Two runs of an item seldom differ; a batch that does is looked at again."""
    random = np.random.default_rng(5)
    verdict = tried(lambda x: x + (random.random(len(x)) < 0.2)[:, None])
    assert verdict.outcome == "unchecked"
    assert "different answers" in verdict.reason


def test_what_counts_its_runs_is_not_blamed_on_the_batch():
    runs = 0

    def rows(x: np.ndarray) -> np.ndarray:
        nonlocal runs
        runs += 1
        return x + runs

    assert tried(rows).outcome == "unchecked"


@pytest.mark.parametrize("is_wrong", [True, False])
def test_a_random_output_says_nothing_of_the_others(is_wrong: bool):
    random = np.random.default_rng()

    def together(items: Sequence[Item]) -> list[Item]:
        x = np.stack([item["x"] for item in items])
        y = x - x.mean(0) if is_wrong else x
        return [{"noise": random.normal(size=4), "y": row} for row in y]

    verdict = try_batches([X], lambda item: together([item])[0], {"": together}, (2, 3))
    assert verdict.outcome == ("wrong" if is_wrong else "unchecked")
    assert ("'y'" if is_wrong else "'noise'") in verdict.reason


def test_answers_that_are_alike_prove_nothing_unless_the_batch_differs():
    """Alone the mean of a batch is the item itself."""
    assert tried(lambda x: 0 * x).outcome == "unchecked"
    assert tried(lambda x: x - x.mean(0)).outcome == "wrong"


def test_a_batch_that_fails_is_wrong():
    def rows(x: np.ndarray) -> np.ndarray:
        if len(x) > 2:
            raise RunError("no room")
        return x

    verdict = tried(rows)
    assert (verdict.outcome, verdict.item) == ("wrong", -1)
    assert verdict.reason == "a batch of 3 fails, while its items run alone: no room"


def test_an_item_without_a_row_of_its_own_is_wrong():
    def rows(_: np.ndarray) -> np.ndarray:
        raise LostBatchError("output 'y' has shape [7, 3]")

    assert tried(rows).outcome == "wrong"


def test_what_runs_on_nothing_is_unchecked_with_the_first_reason():
    def rows(_: np.ndarray) -> np.ndarray:
        raise RunError("not a picture")

    verdict = tried(rows)
    assert verdict.outcome == "unchecked"
    assert verdict.reason == "a single random item does not run: not a picture"


def test_values_that_a_model_takes_are_found():
    """Indices below 2, and only positive numbers."""

    def indices(x: np.ndarray) -> np.ndarray:
        if x.max(initial=0) > 1:
            raise RunError("out of bounds")
        return np.array([3.0, 5.0])[x]

    def positive(x: np.ndarray) -> np.ndarray:
        if x.min() < 0:
            raise RunError("negative")
        return np.log(x)

    assert tried(indices, TrialInput("x", "INT64", (9,))).outcome == "ok"
    assert tried(positive).outcome == "ok"


@pytest.mark.parametrize("name", ["attention_mask", "token_type_ids"])
def test_flags_are_never_more_than_one(name: str):
    """Although other integers are, of the same model."""
    largest = {"ids": 0, name: 0}

    def together(items: Sequence[Item]) -> list[Item]:
        for item in items:
            for key, array in item.items():
                largest[key] = max(largest[key], int(array.max()))
        return [{"y": item["ids"] * item[name]} for item in items]

    inputs = [TrialInput(key, "INT64", (32,)) for key in largest]
    assert try_batches(inputs, lambda item: together([item])[0], {"": together}, (2, 3)).outcome == "ok"
    assert largest[name] == 1
    assert 100 < largest["ids"] < 256


def test_dimensions_that_vary_are_tried_in_two_sizes():
    """Only items of some lengths are mixed."""

    def rows(x: np.ndarray) -> np.ndarray:
        return x - 0.1 * x.mean(0) if x.shape[1] > 8 else x

    verdict = tried(rows, TrialInput("x", "FP32", (-1,)))
    assert verdict.outcome == "wrong"
    assert dict(verdict.shapes) == {"x": (32,)}


@pytest.mark.parametrize(("seconds", "sizes"), [(1000, (2, 3, 8)), (40, (2, 3)), (20, (2, 3)), (10, ())])
def test_a_slow_model_is_tried_with_fewer_items(
    monkeypatch: pytest.MonkeyPatch, seconds: float, sizes: tuple[int, ...]
):
    """By a clock that only goes on while the model runs, a second for each item."""
    ran: list[int] = []

    def rows(x: np.ndarray) -> np.ndarray:
        ran.append(len(x))
        return x

    monkeypatch.setattr("time.monotonic", lambda: float(sum(ran)))
    verdict = tried(rows, seconds=seconds)
    assert verdict.sizes == sizes
    assert sum(ran) <= seconds + 16
    if not sizes:
        assert verdict.reason == "it is too slow to be tried: one item takes 1 seconds"


def test_enormous_items_are_not_made():
    verdict = tried(np.tanh, TrialInput("x", "FP32", (1 << 30,)))
    assert verdict.outcome == "unchecked"
    assert "too large" in verdict.reason


@pytest.mark.parametrize(
    ("rows", "count", "wanted", "outcome", "sizes"),
    [
        (np.tanh, 9, (2, 3, 8), "ok", (2, 3, 8)),
        (np.tanh, 3, (2, 3, 8), "ok", (2, 3)),
        (np.tanh, 2, (2, 3, 8), "ok", (2,)),
        (np.tanh, 3, (8,), "ok", (2,)),
        (mixed(0.3), 9, (2, 3, 8), "wrong", ()),
        (mixed(0.3), 2, (8,), "wrong", ()),
        (lambda x: 0 * x, 9, (2, 3, 8), "unchecked", ()),
    ],
)
def test_items_that_somebody_has(rows: Rows, count: int, wanted: tuple[int, ...], outcome: str, sizes: tuple[int, ...]):
    def together(items: Sequence[Item]) -> list[Item]:
        return [{"y": np.asarray(row)} for row in rows(np.stack([item["x"] for item in items]))]

    random = np.random.default_rng(1)
    items = [{"x": random.standard_normal(16).astype(np.float32)} for _ in range(count)]
    answered = [(item, together([item])[0]) for item in items]
    verdict = try_items(answered, lambda item: together([item])[0], {"": together}, wanted)
    assert (verdict.outcome, verdict.sizes) == (outcome, sizes)


def test_no_batch_is_larger_than_those_that_are_asked_for():
    """A model whose largest batch is 2 was said to fail on 3."""
    ran = []

    def together(items: Sequence[Item]) -> list[Item]:
        ran.append(len(items))
        return [{"y": np.tanh(item["x"])} for item in items]

    random = np.random.default_rng(2)
    items = [{"x": random.standard_normal(16).astype(np.float32)} for _ in range(9)]
    answered = [(item, together([item])[0]) for item in items]
    assert try_items(answered, lambda item: together([item])[0], {"": together}, (2,)).outcome == "ok"
    assert max(ran) == 2
