"""Content codings: what clients really send, and what must not cost more than it is worth."""

import gzip
import random
import time
import tracemalloc
import zlib

import pytest

from http_wire import get, serving
from tcli_server.errors import InvalidArgumentError, UnsupportedError
from tcli_server.protocols.http.compression import choose_coding, compress, decompress

TEXT = b"some text, some text" * 10


@pytest.mark.parametrize("coding", ["gzip", "GZIP", " x-gzip "])
def test_gzip_by_all_its_names(coding: str):
    assert decompress(gzip.compress(TEXT), coding, 1000) == TEXT


def test_every_member_of_a_gzip_body_counts():
    """As pigz, bgzip and `cat a.gz b.gz` write them."""
    assert decompress(gzip.compress(TEXT) + gzip.compress(b"more"), "gzip", 1000) == TEXT + b"more"


@pytest.mark.parametrize("body", [gzip.compress(TEXT) + b"rest", zlib.compress(TEXT) + b"\0"], ids=["gzip", "deflate"])
def test_what_follows_the_end_is_not_dropped_silently(body: bytes):
    with pytest.raises(InvalidArgumentError, match="follow its end"):
        decompress(body, "gzip", 1000)


@pytest.mark.parametrize(
    "body", [gzip.compress(TEXT)[:-9], gzip.compress(TEXT) + gzip.compress(TEXT)[:-1]], ids=["one", "two"]
)
def test_a_body_that_ends_too_early(body: bytes):
    with pytest.raises(InvalidArgumentError, match="too early"):
        decompress(body, "gzip", 1000)


def test_the_limit_holds_for_all_members_together():
    body = gzip.compress(b"x" * 600) + gzip.compress(b"x" * 400)
    assert len(decompress(body, "gzip", 1000)) == 1000
    with pytest.raises(InvalidArgumentError, match=r"larger than 999 bytes.*--http-max-input-size"):
        decompress(body, "gzip", 999)
    assert len(decompress(gzip.compress(b"x" * 1000), "gzip", 1000)) == 1000
    with pytest.raises(InvalidArgumentError, match="larger"):
        decompress(gzip.compress(b"x" * 1001), "gzip", 1000)


def test_what_is_too_large_is_refused_before_it_is_in_memory():
    bomb = gzip.compress(bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArgumentError, match="larger"):
            decompress(bomb, "gzip", 1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_large_body():
    data = random.Random(1).randbytes(300_000) + b"x" * 300_000
    assert decompress(gzip.compress(data) + gzip.compress(data), "gzip", 1_200_000) == data + data


def test_a_body_of_nothing_but_members_is_refused():
    with pytest.raises(InvalidArgumentError, match="members"):
        decompress(gzip.compress(b"") * 2000, "gzip", 1000)


def test_as_many_members_as_a_large_file_has_are_read():
    members = [gzip.compress(b"%d," % number) for number in range(1024)]
    assert decompress(b"".join(members), "gzip", 10_000) == b"".join(b"%d," % number for number in range(1024))
    with pytest.raises(InvalidArgumentError, match="more than 1024 gzip members"):
        decompress(b"".join([*members, members[0]]), "gzip", 10_000)


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_what_is_not_compressed_stays_as_it_is(coding: str):
    assert decompress(TEXT, coding, 10) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_an_empty_body_is_no_compressed_one(coding: str):
    with pytest.raises(InvalidArgumentError, match=f"unable to decompress an empty {coding} body"):
        decompress(b"", coding, 10)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_compressed_comes_back(coding: str):
    for body in (b"", TEXT, TEXT * 1000):
        assert decompress(compress(body, coding), coding, 1 << 20) == body
    assert len(compress(TEXT * 1000, coding)) < 2000
    assert compress(TEXT, coding).startswith(b"\x1f\x8b") == (coding == "gzip")


def test_other_codings_are_named():
    with pytest.raises(UnsupportedError, match="'br', expected one of gzip, deflate"):
        decompress(b"x", "br", 1000)


@pytest.mark.parametrize(("accept", "coding"), [
    ("gzip", "gzip"), ("GZip", "gzip"), ("deflate;q=0.5, gzip;Q=0.6", "gzip"), ("identity, gzip;q=0.5", ""), ("br", ""), ("", ""),
    ("gzip;q=0", ""), ("gzip;q=nan", ""), ("gzip;q=x", ""), ("br," * 30 + "gzip", ""),
    ("gzip, deflate", "gzip"), ("deflate, gzip", "deflate"), ("deflate;q=1, gzip", "deflate"), ("gzip;level=9;q=0, deflate;q=0.1", "deflate"),
    ("br," * 15 + "gzip", "gzip"), ("br," * 16 + "gzip", ""), ("gzip; Q = 0.5 , deflate;q=0.6", "deflate"), ("gzip;q=0.001", "gzip"),
])  # fmt: skip
def test_the_coding_of_an_answer(accept: str, coding: str):
    assert choose_coding(accept) == coding


def test_a_long_list_of_codings_costs_nothing():
    for accept in ("gzip;q=0.1," * 5000, "gzip" + ";" * 60_000):
        start = time.process_time()
        for _ in range(100):
            choose_coding(accept)
        assert time.process_time() - start < 1  # 10 ms each would be too much for the event loop


def test_an_error_that_quotes_broken_text_is_answered():
    with serving(lambda exchange: exchange.fail(400, "no model '\ud800'")) as http, http.connect() as wire:
        wire.send(get())
        response = wire.read()
        assert (response.status, response.body) == (400, b'{"error":"no model \'\\\\ud800\'"}')
