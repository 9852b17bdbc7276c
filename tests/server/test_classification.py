"""The classification extension, value by value."""

import numpy as np
import pytest

from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.classification import classified, classify
from tcli_server.spec import ModelSpec


def test_each_row_of_a_batch_has_its_own_order():
    array = np.array([[1, 3, 2], [9, 7, 8]], np.int32)
    found = classify(array, 2, ["a", "", "c"], True, "y")
    assert found.tolist() == [[b"3:1", b"2:2:c"], [b"9:0:a", b"8:2:c"]]


def test_without_a_batch_all_dimensions_are_classes():
    array = np.array([[0.5, 2.5], [-1, 2.5]], np.float32)
    assert classify(array, 99, (), False, "y").tolist() == [b"2.500000:1", b"2.500000:3", b"0.500000:0", b"-1.000000:2"]


@pytest.mark.parametrize(
    ("max_batch_size", "found"), [(0, [b"4.000000:3:d"]), (1, [[b"2.000000:1:b"], [b"4.000000:1:b"]])]
)
def test_the_model_says_what_is_a_batch_and_what_classes_are_called(max_batch_size: int, found: list):
    spec = ModelSpec("m", "1", max_batch_size, {}, {}, True, {"y": ["a", "b", "c", "d"], "z": ["wrong"]})
    assert classified(np.array([[1, 2], [3, 4]], np.float32), 1, "y", spec).tolist() == found


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,), (2, 0, 4)])
def test_nothing_to_classify(shape: tuple[int, ...]):
    assert classify(np.zeros(shape, np.float32), 2, (), True, "y").size == 0


def test_many_rows_and_many_classes():
    array = np.random.default_rng(0).integers(0, 1000, (500, 1000))
    found = classify(array, 1000, (), True, "y")
    assert found.shape == (500, 1000)
    for row in (0, 499):
        order = sorted(range(1000), key=lambda index: (-array[row, index], index))
        assert found[row].tolist() == [b"%d:%d" % (array[row, index], index) for index in order]


def test_what_cannot_be_classified():
    with pytest.raises(InvalidArgumentError, match="unsupported type 'BOOL'"):
        classify(np.zeros(3, np.bool_), 1, (), False, "y")
    with pytest.raises(InvalidArgumentError, match="has 1000001 elements, at most 1000000"):
        classify(np.zeros(1_000_001, np.int8), 1, (), False, "y")
    assert classify(np.zeros(1_000_000, np.int8), 1, (), False, "y").tolist() == [b"0:0"]


def test_without_a_model_there_are_no_names_and_no_batch():
    assert classified(np.array([[1, 2]], np.float64), 1, "y", None).tolist() == [b"2.000000:1"]


def test_a_label_file_may_be_shorter_than_the_classes_are():
    assert classify(np.array([2, 3, 1], np.uint8), 3, ["a"], False, "y").tolist() == [b"3:1", b"2:0:a", b"1:2"]
