"""Responses of one kind are described alike."""

import numpy as np

from tcli_server.scheduling.kinds import ResponseKinds


def test_a_kind_is_one_shape_and_type_of_each_output():
    kinds = ResponseKinds()
    seen: dict[object, object] = {}
    for rows in (1, 2, 3):
        for dims in ((4,), (2, 2), (4,)):
            for dtype in (np.float32, np.int32, np.float32):
                for name in "AB":
                    of = kinds.of([(name, np.zeros((3, *dims), dtype))], True)
                    assert of is not None
                    said = (rows, dims, dtype, name)
                    assert seen.setdefault(of[rows], said) == said
    assert len(seen) == 3 * 2 * 2 * 2


def test_the_rows_of_a_batch_do_not_count_where_responses_share_them_and_do_where_not():
    kinds = ResponseKinds()
    two, three = ([("A", np.zeros((rows, 4)))] for rows in (2, 3))
    assert kinds.of(two, True) is kinds.of(three, True)
    assert kinds.of(two, False) is not kinds.of(three, False)


def test_what_is_large_or_scattered_or_of_strings_has_no_kind():
    kinds = ResponseKinds()
    for array in (np.zeros((4, 1 << 13)), np.zeros((4, 4)).T[1:], np.array([b"a"], np.object_)):
        assert kinds.of([("A", np.zeros((4, 1))), ("B", array)], True) is None
    half = np.zeros((1, 1 << 12))
    assert kinds.of([("A", half)], True) is not None
    assert kinds.of([("A", half), ("B", half), ("C", half)], True) is None


def test_kinds_without_number_are_forgotten():
    kinds = ResponseKinds()
    for rows in range(1, 1000):
        of = kinds.of([("A", np.zeros((1000, 1), np.int8))], True)
        assert of is not None
        assert of[rows] is of[rows]
        assert len(of) < 100
