"""Which cores each worker gets."""

import pytest

from tcli_server.workers.cores import core_shares


@pytest.mark.parametrize(
    ("cores", "workers", "shares"),
    [
        ([0, 1], 2, [[0], [1]]),
        ([0, 1, 2, 3, 8], 2, [[0, 1, 2], [3, 8]]),
        ([4, 5, 6], 1, [[4, 5, 6]]),
        ([0, 1], 3, [[0], [1], [0]]),
    ],
)
def test_shares(cores: list[int], workers: int, shares: list[list[int]]):
    assert core_shares(cores, workers) == shares
