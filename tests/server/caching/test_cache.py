"""The cache itself: what counts as equal, what goes first, and that nobody can change what it holds."""

import itertools

import numpy as np
import pytest

from tcli_server.caching.cache import ENTRY_BYTES, ResponseCache
from tcli_server.caching.key import cache_key
from tcli_server.request import InferenceRequest

A = np.arange(8, dtype=np.float32)
WORDS = np.array([b"ab", b"c"], np.object_)


def request(
    outputs: tuple[str, ...] = (),
    parameters: dict | None = None,
    request_id: str = "",
    priority: int = 0,
    **inputs: np.ndarray,
):
    return InferenceRequest("m", inputs or {"X": A}, outputs, "", request_id, parameters or {}, priority=priority)


DIFFERENT = [
    request(),
    request(X=A.reshape(2, 4)),
    request(X=A.reshape(4, 2)),
    request(X=A.view(np.int32)),
    request(X=A + 1),
    request(Y=A),
    request(X=A, Y=A),
    request(X=A[:4], Y=A[4:]),
    request(X=WORDS),
    request(X=np.array([b"a", b"bc"], np.object_)),
    request(X=np.array([b"abc", b""], np.object_)),
    request(("Y",)),
    request(("Y", "Z")),
    request((), {"k": 1}),
    request((), {"k": "1"}),
    request((), {"k": True}),
    request((), {"k": 1.0}),
    request((), {"k": 1, "l": 1}),
]
EQUAL = [
    (request(), request(request_id="another", priority=3)),
    (request(X=A, Y=A + 1), request(Y=A + 1, X=A)),
    (request(("Y", "Z")), request(("Z", "Y"))),
    (request((), {"a": 1, "b": 2}), request((), {"b": 2, "a": 1})),
    (request(X=A[::2]), request(X=A[::2].copy())),
    (request(X=WORDS), request(X=WORDS.copy())),
]


def test_different_requests_have_different_keys():
    keys = [cache_key(b"m", each) for each in DIFFERENT]
    for (one, key), (other, another) in itertools.combinations(enumerate(keys), 2):
        assert key != another, (one, other)
    assert cache_key(b"n", DIFFERENT[0]) != keys[0]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_requests_have_one_key(one: InferenceRequest, other: InferenceRequest):
    assert cache_key(b"m", one) == cache_key(b"m", other)


def test_the_least_recently_used_goes_first():
    cache = ResponseCache(2 * (ENTRY_BYTES + 32))
    for key in (b"one", b"two"):
        cache.put(key, {"Y": A})
    assert cache.get(b"one") is not None
    cache.put(b"three", {"Y": A})
    assert [cache.get(key) is not None for key in (b"one", b"two", b"three")] == [True, False, True]
    use = cache.use()
    assert (use.entries, use.lookups, use.hits, use.evictions) == (2, 4, 3, 1)
    assert use.used_bytes == use.size
    cache.close()


def test_the_same_key_again_takes_no_more_room_and_what_is_too_large_takes_none():
    cache = ResponseCache(ENTRY_BYTES + 100)
    for _ in range(3):
        cache.put(b"one", {"Y": A})
    cache.put(b"large", {"Y": np.zeros(101, np.uint8)})
    cache.put(b"words", {"Y": np.array([b"x" * 101], np.object_)})
    assert (cache.use().entries, cache.use().used_bytes) == (1, ENTRY_BYTES + 32)
    cache.put(b"fits", {"Y": np.zeros(100, np.uint8)})
    assert cache.get(b"one") is None
    assert cache.get(b"fits") is not None
    cache.close()
    assert cache.use().used_bytes == 0


def test_what_is_kept_is_a_copy_that_nobody_can_change():
    cache, batch = ResponseCache(10_000), np.zeros((4, 2), np.float32)
    cache.put(b"row", {"Y": batch[1:2]})
    batch[:] = 7
    kept = cache.get(b"row")["Y"]
    assert kept.tolist() == [[0, 0]]
    assert kept.base is None
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 0] = 1
    cache.close()
