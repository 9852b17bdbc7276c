"""What a user reads from each form of output: all values, whatever they are."""

import csv
import json
import math
from pathlib import Path

import ml_dtypes
import numpy as np
import pyarrow.parquet as pq
import pytest

from tcli_batch import DataError, JobError
from tcli_batch.outputs import Layout
from tcli_batch.outputs.forms import form_of
from tcli_batch.ranking import Classes
from tcli_batch.results import Results
from tcli_batch.signature import Tensor
from tcli_client.tensors import DTYPES, Array

FORMS = ["jsonl", "csv", "parquet", "npz"]
EDGES = {
    "BOOL": [True, False],
    "INT64": [-(2**63), 2**53 + 1],
    "UINT64": [2**64 - 1, 0],
    "FP16": [0.1, 65504],
    "BF16": [0.1, 3e38],
    "FP32": [0.1, -3.4e38],
    "FP64": [0.1, 5e-324],
    **{kind: [1, 7] for kind in ("INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32")},
}


def results(first: int, tensors: dict[str, Array], classes: dict[str, Classes] | None = None) -> Results:
    count = len(next(iter((tensors or {name: each.indices for name, each in (classes or {}).items()}).values())))
    return Results(["a.csv"] * count, np.arange(first, first + count), tensors, classes or {})


def written(path: Path, layout: Layout, *parts: list[Results]) -> Path:
    """A file made of parts, each of which is made of several writes."""
    form = form_of(path)
    form.begin(layout)
    places = []
    for number, part in enumerate(parts):
        places.append(path.with_name(f"part{number}"))
        writer = form.part(places[-1])
        for each in part:
            form.check(each)
            writer.write(each)
        writer.close()
    form.merge(places, path)
    return path


def column(path: Path, name: str) -> list:
    """A column of numbers or lists, as each form's usual reader has it."""
    match path.suffix:
        case ".jsonl":
            return [json.loads(line)["outputs"][name] for line in path.read_text().splitlines()]
        case ".parquet":
            return pq.read_table(path)[name].to_pylist()
        case ".npz":
            return list(np.load(path)[name])
    rows = list(csv.DictReader(path.open(newline="")))
    if name in rows[0]:
        return [json.loads(row[name]) for row in rows]
    places = [key for key in rows[0] if key.startswith(f"{name}_")]
    return [[json.loads(row[place]) for place in places] for row in rows]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(), (1,), (2,), (1, 2), (2, 2), (-1, 2), (0,), (-1,), (2, 0)], ids=str)
def test_every_type_in_every_shape_reads_back_as_it_was(tmp_path: Path, form: str, shape: tuple[int, ...]):
    kinds = {kind: edges for kind, edges in EDGES.items() if (form, kind) != ("npz", "BF16")}
    row = [3 if side < 0 else side for side in shape]
    tensors = {
        kind: np.resize(np.array(edges, DTYPES[kind]), (5, *row))
        if math.prod(row)
        else np.empty((5, *row), DTYPES[kind])
        for kind, edges in kinds.items()
    }
    layout = Layout(tuple(Tensor(kind, kind, shape) for kind in tensors))
    halves = [
        results(first, {kind: array[first:last] for kind, array in tensors.items()}) for first, last in [(0, 2), (2, 5)]
    ]
    path = written(tmp_path / f"x.{form}", layout, [halves[0]], [halves[1]])
    for kind, array in tensors.items():
        found = [np.array(value, DTYPES[kind]).reshape(row) for value in column(path, kind)]
        np.testing.assert_array_equal(np.array(found).astype(np.float64), array.astype(np.float64), kind)
        if kind in ("INT64", "UINT64", "FP64"):
            np.testing.assert_array_equal(np.array(found, DTYPES[kind]), array)


@pytest.mark.parametrize("form", FORMS)
def test_numbers_that_json_has_not(tmp_path: Path, form: str):
    values = np.array([[np.nan, 1], [np.inf, -np.inf], [2, 3]], np.float32)
    path = written(tmp_path / f"x.{form}", Layout((Tensor("y", "FP32", (2,)),)), [results(0, {"y": values})])
    if form == "jsonl":
        assert column(path, "y") == [[None, 1], [None, None], [2, 3]]
    elif form == "csv":
        assert path.read_text() == "source,index,y_0,y_1\na.csv,0,nan,1.0\na.csv,1,inf,-inf\na.csv,2,2.0,3.0\n"
    else:
        np.testing.assert_array_equal(np.array(column(path, "y")), values)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_texts_of_all_kinds(tmp_path: Path, form: str):
    texts = [b'a "b", c\n', "ä€".encode(), b"\xff\0", b"", b"[1]"]
    array = np.array(texts, object).reshape(5, 1)
    path = written(tmp_path / f"x.{form}", Layout((Tensor("y", "BYTES", (1,)),)), [results(0, {"y": array})])
    if form == "csv":
        found = [row["y"] for row in csv.DictReader(path.open(newline="", encoding="utf-8"))]
    else:
        found = [value[0] if isinstance(value, list) else value for value in column(path, "y")]
    assert found == [text.decode(errors="backslashreplace") for text in texts]


def test_a_name_that_no_encoding_has_is_written_with_its_number(tmp_path: Path):
    odd = Results(["\udcff.jpg"], np.zeros(1, np.int64), {"y": np.ones((1, 1), np.float32)})
    for form in FORMS:
        path = written(tmp_path / f"x.{form}", Layout((Tensor("y", "FP32", (1,)),)), [odd])
        assert b"dcff.jpg" in (path.read_bytes() if form != "npz" else np.load(path)["sources"][0].encode())


def classes(*rows: list[float], labels: tuple[str, ...] = ("cat", "", 'a "b", c')) -> Classes:
    scores = np.array(rows, np.float32)
    return Classes(np.tile(np.arange(scores.shape[1]), (len(rows), 1)), scores, labels)


@pytest.mark.parametrize("form", FORMS)
def test_classes_of_several_outputs(tmp_path: Path, form: str):
    layout = Layout((Tensor("s", "FP32", (3,)), Tensor("t", "FP32", (2,))), False, {"s": 3, "t": 2})
    one = {"s": classes([0.5, 0.25, 0.125]), "t": classes([1, 2], labels=())}
    path = written(tmp_path / f"x.{form}", layout, [results(0, {}, one)], [results(1, {}, one)])
    if form == "csv":
        assert path.read_text() == (
            "source,index,s_class_1,s_score_1,s_class_2,s_score_2,s_class_3,s_score_3,t_class_1,t_score_1,t_class_2,t_score_2\n"
            'a.csv,0,cat,0.5,1,0.25,"a ""b"", c",0.125,0,1.0,1,2.0\na.csv,1,cat,0.5,1,0.25,"a ""b"", c",0.125,0,1.0,1,2.0\n'
        )
        return
    if form == "npz":
        arrays = np.load(path)
        assert arrays["s_labels"][arrays["s_class"][1]].tolist() == ["cat", "", 'a "b", c']
        assert arrays["s_score"].tolist() == [[0.5, 0.25, 0.125]] * 2
        assert "t_labels" not in arrays
        assert arrays["sources"][arrays["source"]].tolist() == ["a.csv"] * 2
        return
    found = (
        json.loads(path.read_text().splitlines()[1])["classes"]
        if form == "jsonl"
        else pq.read_table(path).to_pylist()[1]
    )
    assert found["s"] == [
        {"score": 0.5, "index": 0, "label": "cat"},
        {"score": 0.25, "index": 1, "label": None},
        {"score": 0.125, "index": 2, "label": 'a "b", c'},
    ]
    assert [best["label"] for best in found["t"]] == [None, None]


def test_fewer_classes_than_there_are_columns_leave_cells_empty(tmp_path: Path):
    layout = Layout((Tensor("s", "FP32", (-1,)),), False, {"s": 2})
    path = written(
        tmp_path / "x.csv", layout, [results(0, {}, {"s": classes([1])})], [results(1, {}, {"s": classes([2, 1])})]
    )
    assert path.read_text().splitlines()[1:] == ["a.csv,0,cat,1.0,,", "a.csv,1,cat,2.0,1,1.0"]


@pytest.mark.parametrize("form", FORMS)
def test_nothing_was_answered_and_the_columns_are_there(tmp_path: Path, form: str):
    path = written(tmp_path / f"x.{form}", Layout((Tensor("y", "FP32", (2,)), Tensor("z", "INT8", (-1, 2)))))
    match form:
        case "jsonl":
            assert path.read_bytes() == b""
        case "csv":
            assert path.read_text() == "source,index,y_0,y_1,z\n"
        case "parquet":
            assert pq.read_schema(path).names == ["source", "index", "y", "z"]
        case _:
            assert {name: array.shape for name, array in np.load(path).items()} == {
                **{"sources": (0,), "source": (0,), "index": (0,), "y": (0, 2), "z": (0, 0, 2)}
            }


def test_rows_of_several_shapes(tmp_path: Path):
    layout = Layout((Tensor("y", "FP32", (-1,)),))
    one, two = (results(n, {"y": np.full((1, n + 1), n, np.float32)}) for n in range(2))
    for form in ("jsonl", "csv", "parquet"):
        path = written(tmp_path / f"x.{form}", layout, [one, two], [one])
        assert column(path, "y") == [[0], [1, 1], [0]]
    with pytest.raises(DataError, match=r"'a.csv' row 1: 'y' has shape \[2\], and \[1\] in the rows before it"):
        written(tmp_path / "x.npz", layout, [one, two])


def test_an_npz_that_is_gone_on_with_still_holds_one_shape(tmp_path: Path):
    layout = Layout((Tensor("y", "FP32", (-1,)),))
    one, two = (results(n, {"y": np.full((1, n + 1), n, np.float32)}) for n in range(2))
    written(tmp_path / "x.npz", layout, [one])
    again = form_of(tmp_path / "x.npz")
    again.begin(layout)
    again.after(tmp_path / "part0")
    with pytest.raises(DataError, match="one shape"):
        again.check(two)
    again.check(one)
    writer = again.part(tmp_path / "part1")
    writer.write(two)
    writer.close()
    with pytest.raises(JobError, match="one shape"):
        again.merge([tmp_path / "part0", tmp_path / "part1"], tmp_path / "y.npz")


@pytest.mark.parametrize("form", ["csv", "parquet", "npz"])
@pytest.mark.parametrize(
    ("outputs", "array", "words"),
    [
        ([Tensor("y", "FP32", (2,))], np.zeros((1, 3), np.float32), r"output 'y' is FP32 \[3\]; .*says FP32 \[2\]"),
        ([Tensor("y", "FP32", (2,))], np.zeros((1, 2)), r"output 'y' is FP64 \[2\]"),
        ([Tensor("z", "FP32", (2,))], np.zeros((1, 2), np.float32), "gave the outputs y; its metadata says z"),
        ([Tensor("index", "FP32", (2,)), Tensor("index", "FP32", ())], np.zeros((1, 2)), "two columns 'index"),
        ([], np.zeros((1, 2)), "does not say which outputs"),
    ],
)
def test_what_a_table_cannot_hold_is_told(tmp_path: Path, form: str, outputs: list[Tensor], array: Array, words: str):
    with pytest.raises(DataError, match=words) as told:
        written(tmp_path / f"x.{form}", Layout(tuple(outputs)), [results(0, {"y": array})])
    assert ".jsonl" in told.value.fix


def test_types_that_numpy_would_pickle_are_refused(tmp_path: Path):
    for kind in ("BYTES", "BF16"):
        with pytest.raises(DataError, match=r"cannot be kept in \.npz"):
            written(tmp_path / "x.npz", Layout((Tensor("y", kind, (2,)),)))
    scores = classes([1, 2])
    ranked = Classes(scores.indices, scores.scores.astype(ml_dtypes.bfloat16), ())
    layout = Layout((Tensor("y", "BF16", (2,)),), False, {"y": 2})
    assert np.load(written(tmp_path / "x.npz", layout, [results(0, {}, {"y": ranked})]))["y_score"].tolist() == [[1, 2]]
