"""Answers of the classification extension."""

import math

import numpy as np
import pytest

from tcli_client import Classification
from tcli_client.scores import parse_classes, parse_flattened_classes, rank


def test_value_index_and_label():
    assert parse_classes([b"10.838984:92:BEE EATER", b"0.500000:7", b"-3:0:"]) == (
        Classification(10.838984, 92, "BEE EATER"),
        Classification(0.5, 7, None),
        Classification(-3, 0, None),
    )


def test_a_label_keeps_its_colons():
    assert parse_classes([b"1.000000:3:ratio 16:9: wide"])[0].label == "ratio 16:9: wide"


def test_integers_stay_integers_and_odd_floats_are_read():
    values = [item.score for item in parse_classes([b"12:0", b"inf:1", b"-nan:2", b"1e+30:3"])]
    assert isinstance(values[0], int)
    assert values[1] == math.inf
    assert math.isnan(values[2])
    assert values[3] == 1e30


def test_a_label_that_is_not_utf8_does_not_lose_the_answer():
    assert parse_classes([b"1.0:3:caf\xe9"])[0].label == "caf\ufffd"


@pytest.mark.parametrize("text", [b"hello", b"", b"x:1", b"1.0:y"])
def test_anything_else_is_not_a_classification(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_classes([text])


def test_scores_of_several_pictures_ranked_as_one_vector_are_taken_apart():
    results = [b"9.0:3", b"8.0:0:zero", b"7.0:1:one", b"6.0:2:two", b"5.0:5", b"4.0:4", b"0.0:6", b"0.0:7", b"0.0:8"]
    ranked = parse_flattened_classes(results, pictures=2, class_count=3)
    assert [(item.index, item.label) for item in ranked[0]] == [(0, "zero"), (1, "one"), (2, "two")]
    assert [(item.index, item.label) for item in ranked[1]] == [(0, "zero"), (2, "two"), (1, "one")]


def test_ranking_here():
    assert rank(np.array([1.5, 3, 2], np.float16), 2) == (Classification(3.0, 1), Classification(2.0, 2))
    assert rank(np.array([1, 3], np.int8), 9) == (Classification(3, 1), Classification(1, 0))
    assert rank(np.array([0, 255], np.uint8), 1) == (Classification(255, 1),)


def test_of_equal_scores_the_lower_index_comes_first():
    scores = np.array([0.25] * 500 + [0.5] + [0.25] * 500, np.float32)
    assert [item.index for item in rank(scores, 5)] == [500, 0, 1, 2, 3]
