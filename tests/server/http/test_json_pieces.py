"""Large JSON bodies mean what small ones mean: the same text is read at once and in pieces, and the answers compared."""

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tcli_server.datatypes import BY_NAME
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.protocols.http.json_leaves import leaves_of
from tcli_server.protocols.http.json_pieces import MAX_REST_BYTES, MAX_REST_VALUES, Pieces, loads
from tcli_server.protocols.http.json_tensors import decode_json
from tcli_server.protocols.tensors import PIECE

AT_ONCE = 1 << 30
BACKSLASH = "\\"
PIECES = (18, 25, 64, 200)
KINDS = ("BOOL", "UINT8", "INT32", "INT64", "UINT64", "FP32", "FP64", "BYTES")


def meaning(body: bytes, piece: int) -> object:
    """All that a request handler could see in a body, or "error"."""
    try:
        document = loads(body, piece)
    except ServerError:
        return "error"
    if not isinstance(document, dict):
        return repr(document)
    inputs = document.pop("inputs", None)
    tensors = []
    for item in inputs if isinstance(inputs, list) else ():
        data = item.pop("data", None) if isinstance(item, dict) else None
        tensors.append([tensor(data, kind) for kind in KINDS])
    return repr((without_data(document), without_data(inputs), tensors))


def without_data(value: Any) -> Any:
    """Nobody looks at a `data` that is not an input's."""
    if isinstance(value, dict):
        return {key: "data" if key == "data" else without_data(item) for key, item in value.items()}
    return [without_data(item) for item in value] if isinstance(value, list) else value


def tensor(data: Any, kind: str) -> object:
    if not isinstance(data, Pieces | list):
        return repr(type(data))
    try:
        parts = data.parts if isinstance(data, Pieces) else [leaves_of(data)]
        count = sum(map(len, parts))
        return decode_json(data, BY_NAME[kind], (count,), "x", "m", 1 << 30).tolist()
    except ServerError:
        return "error"


def assert_same(body: bytes) -> None:
    at_once = meaning(body, AT_ONCE)
    for piece in PIECES:
        assert meaning(body, piece) == at_once, (piece, body)


NUMBERS = st.one_of(
    st.integers(-3, 300), st.integers(-(2**65), 2**65), st.floats(), st.sampled_from([2**63, 2**64 - 1, -(2**63), -1])
)
LEAVES = st.one_of(NUMBERS, st.text(max_size=60), st.booleans(), st.none())
DATA = st.one_of(
    st.lists(NUMBERS, max_size=40),
    st.lists(st.text(max_size=30), max_size=20),
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=6), max_leaves=40).filter(
        lambda v: isinstance(v, list)
    ),
    st.lists(st.dictionaries(st.sampled_from(["data", "a"]), LEAVES, max_size=2), max_size=3),
)
INPUTS = st.lists(st.fixed_dictionaries({"name": st.text(max_size=12), "data": DATA}), max_size=4)
REST = st.dictionaries(
    st.sampled_from(["id", "data", "outputs", "parameters"]), st.one_of(st.text(max_size=120), DATA), max_size=3
)
SPLINTERS = [b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b'"data"', b'"data":[', b"1", b"-", b".", b"e", b" ", b"\n",
             b"NaN", b"-Infinity", b"Inf", b"null", b"\xc3", b"\xed\xa0\x80", b"\\ud83d", b"\\ude00", b"\x00"]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(INPUTS, REST, st.booleans(), st.sampled_from([None, 1]))
def test_valid_documents(inputs: list, rest: dict, ascii_only: bool, indent: int | None):
    text = json.dumps({"inputs": inputs, **rest}, ensure_ascii=ascii_only, indent=indent)
    assert_same(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(INPUTS, REST, st.integers(1, 4), st.randoms(use_true_random=False))
def test_broken_documents(inputs: list, rest: dict, wounds: int, random_: random.Random):
    body = bytearray(json.dumps({"inputs": inputs, **rest}, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for _ in range(wounds):
        place = random_.randrange(len(body) + 1)
        match random_.randrange(4):
            case 0:
                body[place:place] = random_.choice(SPLINTERS)
            case 1:
                del body[place : place + random_.choice((1, 1, 2, 7))]
            case 2:
                body[place : place + 1] = random_.choice(SPLINTERS)
            case _:
                other = random_.randrange(len(body) + 1)
                body[place:place] = body[other : other + 20]
    assert_same(bytes(body))


@pytest.mark.parametrize(
    "data",
    ["1[]2", "7][2", "[1],[2", "1,2],[3", ",1", "1,", "1,,2", "[1,],2", "[,1]", "1 2", "-1", '"a"1', "1}", "{}", "[]1",
     "1," + " " * 30 + ",2", " " * 30 + ",2", "1," + " " * 30],
)  # fmt: skip
def test_faults_that_a_cut_could_hide(data: str):
    for padding in ("", "5," * 40, "[5]," * 30):
        assert_same(b'{"inputs":[{"data":[%b%b]}]}' % (padding.encode(), data.encode()))
        assert_same(b'{"inputs":[{"data":[%b%b]}]}' % (data.encode(), b",5" * 60))


@pytest.mark.parametrize("forged", ["-1", "0", "1", '"0"', "{}", '{"0":0}', "null"])
def test_no_data_can_pick_the_array_of_another_input(forged: str):
    real = ",".join(["7"] * (PIECE // 2))
    body = f'{{"inputs":[{{"data":[{real}]}},{{"data":{forged}}}]}}'.encode()
    first, second = loads(body)["inputs"]
    assert isinstance(first["data"], Pieces)
    assert second["data"] == json.loads(forged)


def test_strings_longer_than_a_piece_come_back_whole():
    for text in ("plain" * PIECE, "ü😀" * PIECE, 'a\\"\n\u2028' * PIECE, "word, [x]" * PIECE):
        for ascii_only in (False, True):
            body = json.dumps(
                {"id": text[: MAX_REST_BYTES // 8], "inputs": [{"data": ["a", text, "b"]}]}, ensure_ascii=ascii_only
            )
            document = loads(body.encode())
            assert document["id"] == text[: MAX_REST_BYTES // 8]
            data = decode_json(document["inputs"][0]["data"], BY_NAME["BYTES"], (3,), "x", "m", 1 << 30)
            assert data.tolist() == [b"a", text.encode(), b"b"]


@pytest.mark.parametrize("broken", ["\\u", "\\u1", "\\ud83d", "\\ude00", "\\x", "\\"])
def test_what_is_broken_where_a_string_is_cut_stays_broken(broken: str):
    for before in range(100):
        assert_same(f'{{"id":"{"a" * before}{broken}{BACKSLASH}u00e9{"a" * 200}"}}'.encode())


def test_an_array_of_many_pieces_is_one_tensor():
    values = np.random.default_rng(0).integers(-(2**63), 2**63, (1000, 100))
    body = json.dumps({"inputs": [{"data": values.tolist()}]}).encode()
    data = loads(body)["inputs"][0]["data"]
    assert len(data.parts) > 10
    assert np.array_equal(decode_json(data, BY_NAME["INT64"], values.shape, "x", "m", 1 << 30), values)


@pytest.mark.parametrize("rest", [b"[0" + b",0" * MAX_REST_VALUES + b"]", b"[" + b"[]," * MAX_REST_VALUES + b"0]"])
def test_too_much_beside_the_data_is_refused_before_it_is_read(rest: bytes):
    with pytest.raises(InvalidArgumentError, match="values beside the 'data'"):
        loads(b'{"inputs":[],"more":%b}' % rest)


@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'[{"data":['])
@pytest.mark.parametrize("depth", [2000, 100_000])
def test_brackets_without_end_are_refused_as_too_deep(opener: bytes, depth: int):
    for text in (opener * depth, b'{"inputs":' + opener * depth, b'{"inputs":[{"data":' + opener * depth):
        with pytest.raises(ServerError):
            loads(text)
    with pytest.raises(InvalidArgumentError, match="nesting depth exceeds maximum allowed limit"):
        loads(b"[" * depth + b"]" * depth)


@pytest.mark.parametrize("cut", range(8))
def test_a_key_that_lies_across_two_pieces_is_found(cut: int):
    """Else a large tensor would count as what is not `data`, of which little is allowed."""
    head = b'{"inputs":[{'
    body = head + b" " * (PIECE - len(head) - cut) + b'"data":[' + b"1," * PIECE + b"1]}]}"
    assert isinstance(loads(body)["inputs"][0]["data"], Pieces)


@pytest.mark.parametrize("escape", ["\\n", "\\\\", "\\u00e9", "\\ud83d\\ude00"])
def test_long_strings_of_nothing_but_escapes_are_read_too(escape: str):
    count = MAX_REST_BYTES // len(escape) + PIECE
    body = f'{{"id":"{escape * count}"}}'.encode()
    assert loads(body)["id"] == json.loads(f'"{escape}"') * count


def test_how_much_may_lie_beside_the_data():
    """Counted without blanks; a string in one piece counts, of a longer one only its ends do."""

    def document(size: int) -> bytes:
        words = b",".join([b'"' + b"x" * 60 + b'"'] * 66_500)
        start = b'{"inputs":[],"more":[%b],"last":"' % words
        return start + b"y" * (size - len(start) - 2) + b'"}'

    assert len(loads(document(MAX_REST_BYTES).replace(b",", b" \r\n\t,"))["more"]) == 66_500
    with pytest.raises(InvalidArgumentError, match=f"has {MAX_REST_BYTES + 1} bytes beside the 'data' of inputs"):
        loads(document(MAX_REST_BYTES + 1))


@pytest.mark.parametrize(("values", "fits"), [(MAX_REST_VALUES - 4, True), (MAX_REST_VALUES - 3, False)])
def test_how_many_values_may_lie_beside_the_data(values: int, fits: bool):
    body = b'{"inputs":[],"more":[0%b]}' % (b",0" * values)
    if fits:
        assert len(loads(body)["more"]) == values + 1
        return
    with pytest.raises(InvalidArgumentError, match="values beside the 'data' of inputs"):
        loads(body)


@pytest.mark.parametrize("mark", [",", "[", "{"])
def test_marks_in_texts_are_no_values(mark: str):
    document = {"inputs": [], "more": [mark * 50_000] * 3}
    assert loads(json.dumps(document).encode()) == document


@pytest.mark.parametrize(("keys", "fits"), [(10_000, True), (10_001, False)])
def test_how_many_keys_may_be_called_data(keys: int, fits: bool):
    body = json.dumps({"inputs": [{"data": [index]} for index in range(keys)]}).encode()
    if fits:
        assert [int(item["data"].parts[0][0]) for item in loads(body)["inputs"]] == list(range(keys))
        return
    with pytest.raises(InvalidArgumentError, match='more than 10000 keys "data"'):
        loads(body)


@pytest.mark.parametrize("close", ["", "]", "]}", "]}]"])
def test_a_long_array_that_does_not_end(close: str):
    for values in ("1," * PIECE + "1", "1" * (2 * PIECE), '"' + "x" * (2 * PIECE), "[1]," * PIECE + "[1"):
        with pytest.raises(InternalError, match="failed to parse the request JSON"):
            loads(f'{{"inputs":[{{"data":[{values}{close}'.encode())


@pytest.mark.parametrize("depth", [99, 100])
def test_nesting_within_long_arrays(depth: int):
    """As many brackets as in a small request, wherever the cuts are; objects are no data."""
    for data in ([1] * PIECE, [[1]] * (PIECE // 2), []):
        deep: object = 1
        for _ in range(depth - 1):
            deep = [deep]
        body = json.dumps({"inputs": [{"data": [*data, deep]}], "id": "x" * PIECE}).encode()
        count = len(data) + 1

        def read(body: bytes = body, count: int = count) -> list[int]:
            array = loads(body)["inputs"][0]["data"]
            return decode_json(array, BY_NAME["INT8"], (count,), "x", "m", 1 << 30).tolist()

        if depth == 99:
            assert read() == [1] * count
        else:
            with pytest.raises(InvalidArgumentError, match="nesting depth exceeds"):
                read()


def test_white_space_around_the_key_data_may_be_long():
    blank = " \t\r\n" * PIECE
    body = f'{{"inputs":[{{"data"{blank}:{blank}[{"1," * PIECE}1{blank}]{blank}}},{{{blank}"data":[2]}}]}}'.encode()
    first, second = loads(body)["inputs"]
    assert isinstance(first["data"], Pieces)
    assert [sum(map(len, item["data"].parts)) for item in (first, second)] == [PIECE + 1, 1]


@pytest.mark.parametrize("name", ['x"data', "data", 'data"', 'x":"data"', "data\\", "\\data", '\\"data'])
def test_only_inputs_have_data_and_only_under_that_name(name: str):
    document = {
        name: [1, 2, 3],
        "id": name,
        "inputs": [{name + "x": [4, 5], "name": name}],
        "x" * 100: {name: "y" * 100},
    }
    document["more"] = ["data", [6, 7], name, [8], {"data": "data"}]
    body = json.dumps(document).encode()
    for piece in (18, 25, 64):
        assert without_data(loads(body, piece)) == without_data(document)
