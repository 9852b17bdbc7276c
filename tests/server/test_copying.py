"""Copies of memory that may be large."""

import random

import pytest

from tcli_server.copying import as_bytes


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 1 << 17, 3_000_001])
def test_the_same_bytes(size: int):
    data = random.Random(size).randbytes(size)
    copied = as_bytes(memoryview(bytearray(data)))
    assert type(copied) is bytes
    assert copied == data


def test_what_is_bytes_already_is_not_copied():
    data = bytes(100_000)
    assert as_bytes(data) is data


def test_a_part_of_others():
    assert as_bytes(memoryview(bytes(50_000) + b"x" * 100_000)[50_000:]) == b"x" * 100_000
