"""Files that lie, or hold what nobody expects, cost at most their own rows, and no more memory than good ones."""

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tcli_batch.block import Block
from tcli_batch.errors import DataError
from tcli_batch.reading import Reader
from tcli_batch.signature import Signature, Tensor
from tcli_batch.sources import parquet_file
from tcli_batch.sources.kinds import Kinds, find_data

NUMBER = Signature("m", "1", (Tensor("x", "FP32", (1,)),), (), 8, True)
TEXT = Signature("m", "1", (Tensor("x", "BYTES", (1,)),), (), 8, True)
OPTIONAL = Signature("m", "1", (Tensor("x", "FP32", (1,)), Tensor("y", "FP32", (1,), True)), (), 8, True)
SOUND = Signature("m", "1", (Tensor("x", "FP32", (100,)),), (), 8, True)
DEEP = "[" * 100_000 + "]" * 100_000


def reader(path: Path, signature: Signature = NUMBER) -> Reader:
    return Reader(find_data([str(path)]), Kinds(None, signature), {}, 1)


def outcome(path: Path, signature: Signature = NUMBER) -> tuple[list[int], dict[int, str]]:
    """The indices of the rows that were read, and why others were not."""
    blocks: list[Block] = list(reader(path, signature).blocks())
    refused = {refusal.index: refusal.reason for block in blocks for refusal in block.refusals}
    return [int(index) for block in blocks for index in block.indices], refused


@pytest.mark.parametrize(
    ("name", "content", "signature", "good", "bad", "reason"),
    [
        ("a.json", '[{"x":1},{"x":' + DEEP + "}]", NUMBER, [0], [1], "too many"),
        ("cut.json", '[{"x":1},{"x":2},{"x":', NUMBER, [0, 1], [2], "no JSON"),
        ("mark.json", '\ufeff[{"x":1}]', NUMBER, [0], [], ""),
        ("mark.jsonl", '\ufeff{"x":1}\n{"x":2}', NUMBER, [0, 1], [], ""),
        ("half.json", '[{"x":"a"},{"x":"\\ud800"},{"x":"b"}]', TEXT, [0, 2], [1], "cannot be written in UTF-8"),
        ("b.jsonl", '{"x":{"content":[1],"shape":[36893488147419103232]}}\n{"x":1}', NUMBER, [1], [0], "'shape'"),
        ("optional.jsonl", '{"x":1}\n{"x":2,"y":3}\n{"x":4}', OPTIONAL, [0, 2], [1], "input 'y'"),
        ("large.csv", "x,n\n1,1\n1" + "0" * 400 + ",2\n3,3", NUMBER, [0, 2], [1], "more than a number holds"),
        ("latin.csv", b"x,n\na,1\n\xfc,2\nb,3", TEXT, [0, 2], [1], "no text in UTF-8"),
        ("quotes.csv", 'x,n\na,1\n"b"c,2\nd,3\n"e,4\nf,5', TEXT, [0, 2], [1, 3], "cannot be read"),
    ],
)
def test_a_bad_row_costs_no_other(
    tmp_path: Path, name: str, content: str | bytes, signature: Signature, good: list[int], bad: list[int], reason: str
):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    read, refused = outcome(path, signature)
    assert read == good
    assert list(refused) == bad
    assert all(reason in each for each in refused.values())


def test_a_line_that_is_too_long_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tcli_batch.sources.json_lines._LONGEST_LINE", 100)
    monkeypatch.setattr("tcli_batch.sources.json_lines.CHUNK_BYTES", 64)
    (tmp_path / "x.jsonl").write_text('{"x":1}\n{"x":"' + "1" * 500 + '"}\n{"x":3}')
    read, refused = outcome(tmp_path / "x.jsonl")
    assert (read, list(refused)) == ([0, 2], [1])


def test_one_long_cell_makes_no_other_as_long(tmp_path: Path):
    """NumPy's texts are all as long as the longest: these would take 80 GB."""
    (tmp_path / "x.csv").write_text("x,n\n" + "1,2\n" * 8_000 + "1" * 2_500_000 + ",3\n")
    read, refused = outcome(tmp_path / "x.csv")
    assert (len(read), list(refused)) == (8_000, [8_000])


def npy(shape: tuple[int, ...], data: bytes = b"") -> bytes:
    head = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + data


def wav(bits: int = 16, claimed: int = 200, data: bytes = bytes(200)) -> bytes:
    head = struct.pack("<HHIIHH", 1, 1, 8_000, 8_000 * bits // 8, bits // 8, bits)
    return b"RIFF\xff\0\0\0WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", claimed) + data


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("negative.npy", npy((-5, 1)), "hold nothing"),
        ("nothing.npy", npy((10**30, 0)), "hold nothing"),
        ("claim.npz", npy((1, 10**11)), "381469 MiB"),
        ("claim.wav", wav(claimed=0x7FFFFFFE), "cut off"),
        ("wide.wav", wav(bits=64), "samples of 64 bits"),
        ("odd.wav", wav(bits=40), "samples of 40 bits"),
        ("twice.csv", b"x, x\n1,2\n", "two columns 'x'"),
        ("utf16.csv", "x\n1\n".encode("utf-16"), "no text in UTF-8"),
    ],
)
def test_a_file_that_lies_is_told(tmp_path: Path, name: str, content: bytes, reason: str):
    path = tmp_path / name
    if path.suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        reader(path, SOUND if path.suffix == ".wav" else NUMBER).check()


def test_columns_that_are_not_wanted_may_hold_anything(tmp_path: Path):
    """Arrow brings no time that Python does not have."""
    table = pa.table({"x": [1.0, 2.0], "t": pa.array([1, 2**50], pa.timestamp("s"))})
    pq.write_table(table, tmp_path / "x.parquet")
    assert outcome(tmp_path / "x.parquet") == ([0, 1], {})
    pq.write_table(table.rename_columns(["y", "x"]), tmp_path / "y.parquet")
    _, refused = outcome(tmp_path / "y.parquet")
    assert "column 'x' (timestamp[ms]) cannot be read" in refused[0]
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), tmp_path / "z.parquet")
    with pytest.raises(DataError, match="two columns 'x'"):
        reader(tmp_path / "z.parquet").check()


def test_large_rows_of_parquet_are_read_a_few_at_a_time(tmp_path: Path):
    rng = np.random.default_rng(0)
    pq.write_table(pa.table({"x": [rng.bytes(1 << 20) for _ in range(12)]}), tmp_path / "x.parquet")
    chunks = [chunk.count for chunk in parquet_file.ParquetFile(str(tmp_path / "x.parquet")).chunks()]
    assert sum(chunks) == 12
    assert max(chunks) <= 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_told_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "x.csv")
    for name, as_bytes in ((str(tmp_path / "x.csv"), False), (os.devnull, True)):
        with pytest.raises(DataError, match="a pipe or a device"):
            find_data([name], as_bytes)
