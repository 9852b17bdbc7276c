"""Every kind of file gives the rows that were written, from any row on, and says what it cannot read."""

import csv
import json
import struct
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tcli_batch.block import Block, Cursor
from tcli_batch.errors import DataError
from tcli_batch.reading import Reader
from tcli_batch.signature import Signature, Tensor
from tcli_batch.sources import numpy_files
from tcli_batch.sources.kinds import Kinds, find_data

ROWS = 300
A = np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3)
B = np.arange(ROWS, dtype=np.int64) * 7
PAIR = Signature("m", "1", (Tensor("a", "FP32", (3,)), Tensor("b", "INT64", (1,))), (), 8, True)
SINGLE = Signature("m", "1", (Tensor("a", "FP32", (3,)),), (), 8, True)
SOUND = Signature("m", "1", (Tensor("samples", "FP32", (100,)),), (), 8, True)


def reader(signature: Signature, *files: Path) -> Reader:
    return Reader(find_data([str(file) for file in files]), Kinds(None, signature), {}, 2)


def read(signature: Signature, *files: Path, start: Cursor | None = None) -> list[Block]:
    return list(reader(signature, *files).blocks(start or Cursor()))


def column(blocks: list[Block], name: str) -> np.ndarray:
    return np.concatenate([block.inputs[name] for block in blocks if len(block)])


def documents() -> list[dict]:
    return [{"a": row.tolist(), "b": int(number)} for row, number in zip(A, B, strict=True)]


def write_csv(path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a_0", "a_1", "a_2", "b"])
        writer.writerows([*row.tolist(), number] for row, number in zip(A, B.tolist(), strict=True))


def write_parquet(path: Path) -> None:
    table = pa.table({"a": pa.array(A.tolist(), pa.list_(pa.float32())), "b": B})
    pq.write_table(table, path, row_group_size=70)


PAIRS: dict[str, Callable[[Path], object]] = {
    "x.npz": lambda path: np.savez(path, a=A, b=B),
    "y.npz": lambda path: np.savez_compressed(path, a=A, b=B),
    "x.jsonl": lambda path: path.write_text("\n\n".join(map(json.dumps, documents()))),
    "x.json": lambda path: path.write_text(json.dumps(documents(), indent=1)),
    "y.json": lambda path: path.write_text(json.dumps({"data": documents()})),
    "x.csv": write_csv,
    "x.parquet": write_parquet,
}
SINGLES: dict[str, Callable[[Path], object]] = {
    "x.npy": lambda path: np.save(path, A),
    "fortran.npy": lambda path: np.save(path, np.asfortranarray(A)),
    "swapped.npy": lambda path: np.save(path, A.astype(">f4")),
    "double.npy": lambda path: np.save(path, A.astype(np.float64)),
    "bare.jsonl": lambda path: path.write_text("\n".join(map(json.dumps, A.tolist()))),
    "bare.json": lambda path: path.write_text(json.dumps(A.tolist())),
}


@pytest.mark.parametrize("name", [*PAIRS, *SINGLES])
@pytest.mark.parametrize("start", [0, 1, 71, ROWS - 1])
def test_rows_are_those_that_were_written_from_any_row_on(tmp_path: Path, name: str, start: int):
    file = tmp_path / name
    (PAIRS | SINGLES)[name](file)
    blocks = read(PAIR if name in PAIRS else SINGLE, file, start=Cursor(0, start))
    np.testing.assert_array_equal(column(blocks, "a"), A[start:])
    if name in PAIRS:
        np.testing.assert_array_equal(column(blocks, "b")[:, 0], B[start:])
    assert np.concatenate([block.indices for block in blocks]).tolist() == list(range(start, ROWS))
    assert {source for block in blocks for source in block.sources} == {str(file)}
    assert blocks[-1].after == Cursor(0, ROWS)
    assert not any(block.refusals for block in blocks)


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "bare.jsonl", "x.parquet"])
def test_after_every_block_the_data_can_be_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setattr(numpy_files, "chunk_rows", lambda _: 70)
    (PAIRS | SINGLES)[name](tmp_path / name)
    signature = PAIR if name in PAIRS else SINGLE
    blocks = read(signature, tmp_path / name)
    assert max(map(len, blocks)) == 4 * signature.max_rows
    for block in blocks[:-1]:
        np.testing.assert_array_equal(
            column(read(signature, tmp_path / name, start=block.after), "a"), A[block.after.row :]
        )


def test_a_refused_row_is_told_once_wherever_the_data_is_gone_on_with(tmp_path: Path):
    """Rows of several shapes with bad ones between: what was before a block's end is in it, the rest after it."""
    lengths = [0, 1, 1, 0, 2, 0, 0, 2, 1, 0]
    texts = [json.dumps(list(range(length))) if length else "{oops" for length in lengths]
    (tmp_path / "x.jsonl").write_text("\n".join(texts))
    signature = Signature("m", "1", (Tensor("a", "INT32", (-1,)),), (), 8, True)
    blocks = read(signature, tmp_path / "x.jsonl")

    def told(some: list[Block]) -> list[int]:
        return sorted([*(r.index for b in some for r in b.refusals), *(i for b in some for i in b.indices.tolist())])

    assert told(blocks) == list(range(10))
    for number, block in enumerate(blocks):
        assert told(blocks[: number + 1]) == list(range(block.after.row))
        assert told(read(signature, tmp_path / "x.jsonl", start=block.after)) == list(range(block.after.row, 10))


@pytest.mark.parametrize(("width", "full"), [(1, 128), (2, 2**15), (3, 2**23), (4, 2**31)])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_comes_in_windows_and_its_end_is_silence(tmp_path: Path, width: int, full: int, channels: int):
    values = np.linspace(-full, full - 1, 250 * channels).astype(np.int64).reshape(250, channels)
    with wave.open(str(tmp_path / "x.wav"), "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(8000)
        raw = values + 128 if width == 1 else values
        sound.writeframes(
            b"".join(int(value).to_bytes(width, "little", signed=width > 1) for value in raw.ravel().tolist())
        )
    rows = column(read(SOUND, tmp_path / "x.wav"), "samples")
    assert rows.shape == (3, 100)
    np.testing.assert_allclose(rows.ravel()[:250], values.mean(axis=1) / full, atol=1e-6)
    assert not rows.ravel()[250:].any()
    whole = Signature("m", "1", (Tensor("s", "INT16", (1, -1)),), (), 8, True)
    rows = column(read(whole, tmp_path / "x.wav"), "s")
    assert rows.shape == (1, 1, 250)
    np.testing.assert_allclose(rows.ravel(), values.mean(axis=1) / full * 32767, atol=2)
    if channels == 2:
        both = Signature("m", "1", (Tensor("s", "FP32", (2, 50)),), (), 8, True)
        rows = column(read(both, tmp_path / "x.wav"), "s")
        np.testing.assert_allclose(rows[1, 1], values[50:100, 1] / full, atol=1e-6)


def test_rows_of_several_shapes_are_blocks_of_one_shape_in_order(tmp_path: Path):
    lengths = [1, 1, 2, 2, 1, 3]
    (tmp_path / "x.jsonl").write_text("\n".join(json.dumps(list(range(length))) for length in lengths))
    signature = Signature("m", "1", (Tensor("a", "INT32", (-1,)),), (), 8, True)
    blocks = read(signature, tmp_path / "x.jsonl")
    assert [block.inputs["a"].shape for block in blocks] == [(2, 1), (2, 2), (1, 1), (1, 3)]
    assert np.concatenate([block.indices for block in blocks]).tolist() == list(range(6))
    assert [block.after for block in blocks] == [Cursor(0, 2), Cursor(0, 4), Cursor(0, 5), Cursor(0, 6)]


def test_bad_rows_are_named_and_cost_no_other(tmp_path: Path):
    lines = [
        '{"a": [1, 2, 3], "b": 1}',
        "{oops",
        '{"a": [1, 2], "b": 2}',
        '{"b": 3}',
        "[1]",
        '{"a": [4, 5, 6], "b": 4}',
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    (tmp_path / "x.csv").write_text("a_0,a_1,a_2,b\n1,2,3,1\n1,2,3\n1,,3,4\n4,5,6,1.5\n4,5,6,4\n")
    for name in ("x.jsonl", "x.csv"):
        (block,) = read(PAIR, tmp_path / name)
        assert block.inputs["a"].tolist() == [[1, 2, 3], [4, 5, 6]]
        assert [refusal.index for refusal in block.refusals] == [
            i for i in range(len(lines)) if i not in block.indices
        ][: len(block.refusals)]
    reasons = {refusal.index: refusal.reason for refusal in read(PAIR, tmp_path / "x.csv")[0].refusals}
    assert reasons[1] == "expected 4 cells, found 3"
    assert "the cell is empty" in reasons[2]
    assert "1.5 is no whole number" in reasons[3]


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("name", ["x.npz", "x.json", "x.parquet", "x.npy", "empty.jsonl", "noise.npy", "noise.parquet"])
def test_a_file_that_cannot_be_read_costs_no_other(tmp_path: Path, name: str):
    """Nor does it go unsaid."""
    bad = tmp_path / name
    if name in PAIRS or name in SINGLES:
        (PAIRS | SINGLES)[name](bad)
        _cut(bad)
    else:
        bad.write_bytes(b"" if name.startswith("empty") else b"RIFFnoise" * 20)
    good = tmp_path / "z.npz"
    np.savez(good, a=A, b=B)
    data = reader(PAIR, bad, good)
    data.check()
    blocks = list(data.blocks())
    refusals = [refusal for block in blocks for refusal in block.refusals]
    assert [refusal.source for refusal in refusals] == [str(bad)]
    rows = [(block.sources[0], index) for block in blocks if len(block) for index in block.indices.tolist()]
    assert rows[-ROWS:] == [(str(good), index) for index in range(ROWS)]
    assert refusals[0].index == len(rows) - ROWS
    if len(rows) == ROWS:
        with pytest.raises(DataError):  # alone, there is nothing to begin with
            reader(PAIR, bad).check()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.csv", b"", "is empty"),
        ("x.csv", b"a,a\n1,2\n", "two columns 'a'"),
        ("x.csv", b"a_0,a_1,a_2\n1,2,3\n", "no column is called as input 'b'"),
        (
            "x.jsonl",
            b'{"a": "x", "b": 1}\n{"a": 2, "b": 1}\n',
            "row 0 does not fit, nor any after it: input 'a'.*'x' is no",
        ),
        ("x.json", b'{"rows": []}', "is no list of rows"),
        ("x.json", b"7", "is no list of rows"),
    ],
)
def test_what_fits_nowhere_is_told_before_anything_is_asked(tmp_path: Path, name: str, content: bytes, reason: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        reader(PAIR, tmp_path / name).check()


def test_arrays_that_run_code_when_they_are_read_are_not_read(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DataError, match="pickled objects"):
        reader(SINGLE, tmp_path / "x.npy").check()


@pytest.mark.parametrize("lies", ["rows", "length"])
def test_a_header_that_lies_needs_no_memory(tmp_path: Path, lies: str):
    with (tmp_path / "x.npy").open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 3)}
        if lies == "rows":
            np.lib.format.write_array_header_1_0(stream, header)
        else:
            stream.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{}")
    with pytest.raises(DataError):
        reader(SINGLE, tmp_path / "x.npy").check()
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.write(tmp_path / "x.npy", "a.npy")
    archived = reader(SINGLE, tmp_path / "x.npz")
    with pytest.raises(DataError):
        archived.check()


def test_arrays_of_one_file_must_be_as_long(tmp_path: Path):
    np.savez(tmp_path / "x.npz", a=A, b=B[:-1])
    with pytest.raises(DataError, match="a has 300, b has 299"):
        reader(PAIR, tmp_path / "x.npz").check()


def test_a_folder_is_its_data_of_one_kind(tmp_path: Path):
    for name in ("b.npy", "a.npy", "notes.txt", ".hidden.npy"):
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in find_data([str(tmp_path)])] == [str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]
    assert len(find_data([str(tmp_path)], as_bytes=True)) == 3
    (tmp_path / "c.csv").write_text("")
    with pytest.raises(DataError, match="several kinds: csv, npy"):
        find_data([str(tmp_path)])
    with pytest.raises(DataError, match="ends with no ending of data"):
        find_data([str(tmp_path / "notes.txt")])
    with pytest.raises(DataError, match="no such file"):
        find_data([str(tmp_path / "d.csv")])
    assert [(file.name, file.kind) for file in find_data([str(tmp_path / "*.csv")])] == [
        (str(tmp_path / "c.csv"), "csv")
    ]
