"""Data by address gives the rows that the same files give by name. `file://` goes the way of all addresses."""

import csv
import json
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tcli_batch import DataError, find_data
from tcli_batch.addresses import file_state, local_copy
from tcli_batch.block import Block, Cursor
from tcli_batch.reading import Reader
from tcli_batch.signature import Signature, Tensor
from tcli_batch.sources.kinds import Kinds

A = np.arange(60, dtype=np.float32).reshape(20, 3)
MODEL = Signature("m", "1", (Tensor("a", "FP32", (3,)),), (), 8, True)
BEGINNING = Cursor()
BYTES = Signature("m", "1", (Tensor("a", "BYTES", (1,)),), (), 8, True)


def write_csv(path: Path) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["a_0", "a_1", "a_2"], *A.tolist()])


def write_wav(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(A.astype("<i2").tobytes())


WRITERS: dict[str, Callable[[Path], object]] = {
    "x.npy": lambda path: np.save(path, A),
    "x.npz": lambda path: np.savez(path, a=A),
    "y.npz": lambda path: np.savez_compressed(path, a=A),
    "x.jsonl": lambda path: path.write_text("".join(json.dumps({"a": row}) + "\n" for row in A.tolist())),
    "x.json": lambda path: path.write_text(json.dumps(A.tolist())),
    "x.csv": write_csv,
    "x.parquet": lambda path: pq.write_table(pa.table({"a": pa.array(A.tolist())}), path, row_group_size=6),
    "x.wav": write_wav,
}


def blocks(
    name: str, signature: Signature = MODEL, start: Cursor = BEGINNING, stop: Cursor | None = None
) -> list[Block]:
    files = find_data([name], as_bytes=signature is BYTES)
    return list(Reader(files, Kinds(None, signature), {}, 2).blocks(start, stop))


def rows(found: list[Block]) -> list[list[float]]:
    return [row for block in found if len(block) for row in block.inputs["a"].tolist()]


@pytest.mark.parametrize("name", WRITERS)
def test_an_address_gives_the_rows_of_the_file(tmp_path: Path, name: str):
    WRITERS[name](tmp_path / name)
    address = f"file://{tmp_path}/{name}"
    there = blocks(address)
    assert rows(there) == rows(blocks(str(tmp_path / name)))
    assert len(rows(there)) == 20
    assert {source for block in there for source in block.sources} == {address}


@pytest.mark.parametrize("name", WRITERS)
def test_a_stretch_ends_where_the_next_begins(tmp_path: Path, name: str):
    WRITERS[name](tmp_path / name)
    file, cut = str(tmp_path / name), Cursor(0, 7)
    before, after = blocks(file, stop=cut), blocks(file, start=cut)
    assert [index for block in before for index in block.indices.tolist()] == list(range(7))
    assert rows(before) + rows(after) == rows(blocks(file))


def test_whole_files_and_folders(tmp_path: Path):
    for name in ("b.txt", "a.txt", ".hidden"):
        (tmp_path / name).write_text(name)
    (found,) = blocks(f"file://{tmp_path}", BYTES)
    assert list(found.sources) == [f"file://{tmp_path}/a.txt", f"file://{tmp_path}/b.txt"]
    assert found.inputs["a"].ravel().tolist() == [b"a.txt", b"b.txt"]
    assert [file.name for file in find_data([f"file://{tmp_path}/b*"], as_bytes=True)] == [f"file://{tmp_path}/b.txt"]


def test_a_picture_keeps_its_ending(tmp_path: Path):
    Image.new("RGB", (2, 2)).save(tmp_path / "x.png")
    with local_copy(f"file://{tmp_path}/x.png") as name, Image.open(name) as picture:
        assert name.endswith(".png")
        assert picture.size == (2, 2)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("file://{}/nobody.csv", "no such file"),
        ("file://{}/*.csv", "no file matches"),
        ("file://{}/empty", "no data in this folder"),
        ("file://{}/*/x.csv", "only the last part"),
        ("https://example.org/x.csv", "addresses are not fetched"),
    ],
)
def test_an_address_that_names_nothing(tmp_path: Path, address: str, complaint: str):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=complaint):
        find_data([address.format(tmp_path)])


def test_a_file_that_has_changed_is_noticed_by_address(tmp_path: Path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    before = file_state(f"file://{tmp_path}/x.csv")
    (tmp_path / "x.csv").write_text("a\n1\n2\n")
    assert file_state(f"file://{tmp_path}/x.csv") != before
    assert file_state("file:///nobody.csv")["name"] == "file:///nobody.csv"
