"""The bodies of index, load and unload: what is read of them, and what is said of what cannot be."""

import base64
import json

import pytest

from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.protocols.http.repository_request import read_index, read_load, read_unload

LIMIT = 1 << 20


def body(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("empty", [b"", b" \r\n", b"{}"])
def test_nothing_means_the_defaults(empty: bytes):
    assert read_index(empty, LIMIT) is False
    assert read_load(empty, LIMIT) == (None, {})
    assert read_unload(empty, LIMIT) is False


def test_what_is_asked_for():
    assert read_index(body({"ready": True}), LIMIT) is True
    parameters = {"config": "{}", "file:1/model.onnx": base64.b64encode(b"model").decode(), "file:labels": ""}
    assert read_load(body({"parameters": parameters}), LIMIT) == ("{}", {"1/model.onnx": b"model", "labels": b""})
    assert read_unload(body({"parameters": {"unload_dependents": True}}), LIMIT) is True


@pytest.mark.parametrize("value", [1, "true", None, [True]])
def test_dependents_are_unloaded_only_on_a_plain_true(value: object):
    assert read_unload(body({"parameters": {"unload_dependents": value}}), LIMIT) is False


@pytest.mark.parametrize(
    ("read", "document", "kind", "text"),
    [
        (read_index, {"ready": 1}, InvalidArgumentError, "Invalid value for 'ready': expected a boolean"),
        (read_index, [], InternalError, "expected an object"),
        (read_load, {"parameters": [1]}, InternalError, "Unable to parse 'parameters': expected an object"),
        (
            read_load,
            {"parameters": {"config": 5}},
            InternalError,
            "unexpected type for load parameter 'config', expected a string",
        ),
        (read_load, {"parameters": {"file:a": None}}, InternalError, "unexpected type for load parameter 'file:a'"),
        (read_load, {"parameters": {"files:a": ""}}, InternalError, "unrecognized load parameter 'files:a'"),
        (read_load, {"parameters": {"file:a": "A"}}, InvalidArgumentError, "load parameter 'file:a' is not base64"),
    ],
)
def test_what_cannot_be_meant_is_told(read, document: object, kind: type[ServerError], text: str):
    with pytest.raises(kind, match=text):
        read(body(document), LIMIT)


@pytest.mark.parametrize("read", [read_index, read_load, read_unload])
def test_the_largest_body(read):
    fits = b" " * (LIMIT - 2) + b"{}"
    read(fits, LIMIT)
    with pytest.raises(InvalidArgumentError, match=f"{LIMIT + 1} bytes is larger than the limit of {LIMIT} bytes"):
        read(b" " + fits, LIMIT)


@pytest.mark.parametrize("size", [1, 3, (1 << 18) - 1, (3 << 16) + 1, 1 << 19])
def test_files_of_any_size_come_whole_whatever_their_line_length(size: int):
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for encoded in (base64.b64encode(content), base64.encodebytes(content)):
        document = body({"parameters": {"file:a": encoded.decode()}})
        assert read_load(document, LIMIT)[1] == {"a": content}


PIECE = 1 << 18
"""Characters that are decoded at a time."""


@pytest.mark.parametrize("content", [
    "QUI", "QU?=", "QUJD-_-_", "QQ==QQ==", "=", "Ü===", "A" * 300_001, "A" * (PIECE - 2) + "==QUJD", "A" * (PIECE - 4) + "QQ==" + "\n" * PIECE + "Q",
    "QQ=" + " " * PIECE, "A" * PIECE + "=", "A" * PIECE + "QQ", "A" * (PIECE - 2) + "=" + "\n" * PIECE + "=QUJD",
])  # fmt: skip
def test_what_is_no_base64_is_refused_wherever_it_is(content: str):
    with pytest.raises(InvalidArgumentError, match="load parameter 'file:a' is not base64"):
        read_load(body({"parameters": {"file:a": content}}), 1 << 30)


@pytest.mark.parametrize(("content", "size"), [
    ("A" * (PIECE - 2) + "==", PIECE // 4 * 3 - 2), ("A" * (PIECE - 2) + "=" + "\n" * PIECE + "= \t\r", PIECE // 4 * 3 - 2),
    ("A" * (PIECE - 1) + " A", PIECE // 4 * 3), (" " * 3 * PIECE + "QQ==", 1), ("AAA\n" * PIECE, PIECE // 4 * 9),
])  # fmt: skip
def test_padding_and_white_space_may_lie_anywhere(content: str, size: int):
    _, files = read_load(body({"parameters": {"file:a": content}}), 1 << 30)
    assert len(files["a"]) == size


def test_several_files_and_no_configuration():
    document = body({"parameters": {"file:a": "QQ==", "file:b/c": "Qg=="}})
    assert read_load(document, LIMIT) == (None, {"a": b"A", "b/c": b"B"})
    assert read_load(body({"parameters": None}), LIMIT) == (None, {})
