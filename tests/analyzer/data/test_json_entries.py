"""Inputs from perf_analyzer's JSON and from V2 requests, right and wrong ones."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from described_models import taking
from tcli_analyzer.data import DataError, DataSource, Limits

CONFIG = taking("A FP32 [ 2 ]", "B INT32 [ -1 ]")
STATEFUL = taking("A FP32 [ 2 ]", more="sequence_batching {}")


def written(folder: Path, document: Any, name: str = "data.json") -> DataSource:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return DataSource((str(path),))


def test_flat_lists_contents_with_shapes_and_base64(tmp_path: Path):
    raw = base64.b64encode(np.array([7, 8], "<f4").tobytes()).decode()
    source = written(
        tmp_path,
        {
            "data": [
                {"A": [1, 2.5], "B": [1]},
                {"A": {"content": [3, 4], "shape": [2]}, "B": {"content": [1]}},
                {"A": {"content": [[5, 6]]}, "B": [9, 9]},
                {"A": {"b64": raw[:6] + "\n" + raw[6:].rstrip("=")}, "B": {"content": [[2, 3]], "shape": [2]}},
            ],
            "validation_data": [{"Y": [1]}],
        },
    )
    requests = source.make(CONFIG, 1)
    assert [one["A"].tolist() for one in requests] == [[[1, 2.5]], [[3, 4]], [[5, 6]], [[7, 8]]]
    assert [one["B"].tolist() for one in requests] == [[[1]], [[1]], [[9, 9]], [[2, 3]]]
    assert requests[0]["A"].dtype == np.float32
    assert requests[0]["B"].dtype == np.int32
    assert any("validation_data is not used" in note for note in source.look(CONFIG).notes)


def test_requests_are_made_of_neighbours_of_equal_shape(tmp_path: Path):
    entries = [{"A": [n, n], "B": [0] * (1 + n % 2)} for n in range(4)]
    requests = written(tmp_path, {"data": entries}).make(CONFIG, 2)
    assert [one["A"][:, 0].tolist() for one in requests] == [[0, 2], [1, 3]]
    assert [one["B"].shape for one in requests] == [(2, 1), (2, 2)]


def test_strings_and_booleans(tmp_path: Path):
    config = taking("S STRING [ 2 ]", "F BOOL [ 2 ]")
    packed = base64.b64encode(b"\1\0\0\0x\2\0\0\0yz").decode()
    single = taking("S STRING [ 1 ]", "F BOOL [ 1 ]")
    requests = written(tmp_path, [{"S": ["a", "ß"], "F": [True, False]}, {"S": {"b64": packed}, "F": [1, 0]}]).make(
        config, 1
    )
    assert [one["S"].tolist() for one in requests] == [[[b"a", "ß".encode()]], [[b"x", b"yz"]]]
    assert [one["F"].tolist() for one in requests] == [[[True, False]]] * 2
    jpeg = base64.b64encode(b"\xff\xd8\xff picture").decode()
    (one,) = written(tmp_path, [{"S": {"b64": jpeg}, "F": True}]).make(single, 1)
    assert one["S"].tolist() == [[b"\xff\xd8\xff picture"]]


def test_nested_lists_are_sequences_of_a_model_with_state(tmp_path: Path):
    source = written(tmp_path, {"data": [[{"A": [1, 1]}, {"A": [2, 2]}], [{"A": [3, 3]}]]})
    requests = source.make(STATEFUL, 1)
    assert [one["A"][0, 0] for one in requests] == [1, 2, 3]
    assert requests.lengths == (2, 1)
    assert source.look(STATEFUL).sequences == (2, 1)
    plain = taking("A FP32 [ 2 ]")
    assert source.make(plain, 1).lengths == ()
    assert any("keeps no state" in note for note in source.look(plain).notes)
    with pytest.raises(DataError, match="a request has one item, not 2"):
        source.make(STATEFUL, 2)
    cut = DataSource(source.given, limits=Limits(items=2))
    assert cut.make(STATEFUL, 1).lengths == (2,)
    assert any("first 1 of 2 sequences" in note for note in cut.look(STATEFUL).notes)


def test_requests_of_the_protocol(tmp_path: Path):
    def request(rows: list[list[float]]) -> dict[str, Any]:
        tensors = {"A": ("FP32", rows), "B": ("INT32", [[1]] * len(rows))}
        return {
            "id": "7",
            "inputs": [
                {"name": name, "datatype": kind, "shape": [len(data), len(data[0])], "data": data}
                for name, (kind, data) in tensors.items()
            ],
        }

    two, one = request([[1, 2], [3, 4]]), request([[5, 6]])
    one["inputs"][0]["data"] = [5, 6]
    for document, name in (
        ([two, one], "all.json"),
        (json.dumps(two) + "\n\n" + json.dumps(one), "lines.jsonl"),
    ):
        source = written(tmp_path, document, name)
        assert [one["A"].tolist() for one in source.make(CONFIG, 1)] == [[[1, 2]], [[3, 4]], [[5, 6]]]
        assert "id of requests in the input data is not sent" in source.look(CONFIG).notes
    folder = tmp_path / "requests"
    folder.mkdir()
    written(folder, two, "1.json")
    written(folder, one, "2.json")
    assert len(DataSource((str(folder),)).make(CONFIG, 1)) == 3


def test_an_optional_input_may_be_left_out(tmp_path: Path):
    config = taking("A FP32 [ 2 ]")
    config.input.add(name="C", data_type=config.input[0].data_type, dims=[1], optional=True)
    requests = written(tmp_path, [{"A": [1, 2]}, {"A": [1, 2], "C": [3]}]).make(config, 1)
    assert [sorted(one) for one in requests] == [["A"], ["A", "C"]]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "the file is empty"),
        ("{", "not JSON: .* line 1"),
        ("[" * 100_000, "data.json: not JSON"),
        ({"rows": []}, r"expected .*\"data\".* found rows"),
        (3, "found int"),
        ({"data": []}, "there is no entry in it"),
        ({"data": [[]]}, r"data\[0\]: a sequence without requests"),
        ({"data": [[{"A": [1, 2], "B": [1]}], {"A": [1, 2], "B": [1]}]}, "some entries are lists"),
        ({"data": [{"A": [1, 2], "B": [1]}, 7]}, r"data\[1\]: expected an object .* found int"),
        ({"data": [{"A": [1, 2]}]}, r"data.json: data\[0\]: input 'B' is missing \(INT32 \[-1\]\)"),
        ({"data": [{"A": [1, 2], "b": [1]}]}, r"data\[0\]: input 'B' is missing"),
        ({"data": [{"A": [1, 2, 3], "B": [1]}]}, r"input 'A' takes FP32 \[2\] an item, 2 elements; found 3"),
        ({"data": [{"A": ["1", "2"], "B": [1]}]}, r"input 'A' takes FP32, found strings, such as '1'"),
        ({"data": [{"A": [1, None], "B": [1]}]}, r"input 'A' takes FP32, found values of several types, or null"),
        ({"data": [{"A": [1, 2], "B": [1.5]}]}, "input 'B' takes INT32, found FP64"),
        ({"data": [{"A": [1, 2], "B": [2**31]}]}, "takes INT32, -2147483648 to 2147483647; found 2147483648"),
        ({"data": [{"A": [1, 2], "B": [2**70]}]}, "takes INT32, found"),
        ({"data": [{"A": [[1], [2, 3]], "B": [1]}]}, "lists of unequal lengths"),
        ('{"data": [{"A": [1, NaN], "B": [1]}]}', r"input 'A' has 1 elements that are not numbers"),
        ({"data": [{"A": {"content": [1, 2], "shape": [3]}, "B": [1]}]}, r"of shape \[3\] has 3 elements, found 2"),
        (
            {"data": [{"A": {"content": [1, 2], "shape": [2, 1]}, "B": [1]}]},
            r"takes FP32 \[2\] an item, found shape \[2, 1\]",
        ),
        ({"data": [{"A": {"content": [1, 2], "shape": [-1]}, "B": [1]}]}, "the shape of input 'A'"),
        ({"data": [{"A": {"values": [1]}, "B": [1]}]}, "neither content nor b64; found values"),
        ({"data": [{"A": {"b64": "%%"}, "B": [1]}]}, "is not Base64"),
        ({"data": [{"A": {"b64": "AAAA"}, "B": [1]}]}, "holds 3 bytes, not a multiple of the 4"),
        (
            {"inputs": [{"name": "A", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]},
            "takes FP32, found datatype FP64",
        ),
        ({"inputs": [{"name": "Z", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]}, "no input 'Z'"),
        ({"inputs": [{"name": "A", "datatype": "FP32", "shape": [1, 3], "data": [1, 2]}]}, "has 3 elements, found 2"),
        (
            {"inputs": [{"name": "A", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}]},
            "is binary data",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, document: Any, message: str):
    with pytest.raises(DataError, match=message):
        written(tmp_path, document).make(CONFIG, 1)


def test_several_dimensions_of_any_size_need_a_shape(tmp_path: Path):
    config = taking("A FP32 [ -1, -1 ]")
    source = written(tmp_path, [{"A": [1, 2, 3, 4]}])
    with pytest.raises(DataError, match="do not say which") as caught:
        source.make(config, 1)
    assert "--shape A:" in caught.value.fix
    assert DataSource(source.given, {"A": (2, 2)}).make(config, 1)[0]["A"].tolist() == [[[1, 2], [3, 4]]]


def test_a_file_that_is_too_large(tmp_path: Path):
    source = DataSource(written(tmp_path, [{"A": [1, 2], "B": [1]}]).given, limits=Limits(file_bytes=10))
    with pytest.raises(DataError, match="bytes are more than the 10 that are read"):
        source.make(CONFIG, 1)


def test_names_that_are_no_inputs(tmp_path: Path):
    source = written(tmp_path, [{"A": [1, 2], "B": [1], "label": [3]}])
    assert sorted(source.make(CONFIG, 1)[0]) == ["A", "B"]
    assert source.look(CONFIG).notes == ("'label' in the input data is no input of the model and is left out",)
    with pytest.raises(DataError) as caught:
        written(tmp_path, [{"A": [1, 2], "b": [1], "label": [3]}]).make(CONFIG, 1)
    assert caught.value.fix == "is it 'b' there?"
