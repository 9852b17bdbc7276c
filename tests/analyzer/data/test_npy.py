"""Inputs from .npy files, right and wrong ones."""

import pickle
import re
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from described_models import taking
from tcli_analyzer.data import DataError, DataSource, Limits

CONFIG = taking("X FP32 [ 4 ]")
ROWS = np.arange(20, dtype=np.float32).reshape(5, 4)


def saved(folder: Path, array: np.ndarray, name: str = "X.npy") -> str:
    np.save(folder / name, array)
    return str(folder / name)


def made(given: str, items: int = 1, config=CONFIG) -> list[np.ndarray]:
    return [request["X"] for request in DataSource((given,)).make(config, items)]


def test_the_first_axis_is_that_of_the_items(tmp_path: Path):
    given = saved(tmp_path, ROWS)
    assert [one.tolist() for one in made(given)] == [[row] for row in ROWS.tolist()]
    pairs = made(given, items=2)
    assert [one.tolist() for one in pairs] == [ROWS[:2].tolist(), ROWS[2:4].tolist(), ROWS[[4, 0]].tolist()]
    assert made(given, items=8)[0].tolist() == ROWS[[0, 1, 2, 3, 4, 0, 1, 2]].tolist()  # fewer than a request has


def test_a_folder_has_a_file_for_each_input(tmp_path: Path):
    config = taking("X FP32 [ 4 ]", "N INT64 [ 1 ]")
    saved(tmp_path, ROWS)
    saved(tmp_path, np.arange(5).reshape(5, 1), "N.npy")
    (tmp_path / ".hidden.npy").write_bytes(b"")
    requests = DataSource((str(tmp_path),)).make(config, 2)
    assert requests[1]["N"].tolist() == [[2], [3]]
    assert requests[1]["X"].tolist() == ROWS[2:4].tolist()
    named = DataSource((f"X:{tmp_path / 'X.npy'}", f"N:{tmp_path / 'N.npy'}")).make(config, 2)
    assert all((one["N"] == other["N"]).all() for one, other in zip(named, requests, strict=True))


@pytest.mark.parametrize("shape", [(5, 1, 4), (5, 4)])
def test_leading_dimensions_of_one_come_and_go(tmp_path: Path, shape: tuple[int, ...]):
    given = saved(tmp_path, ROWS.reshape(shape))
    fixed = made(given, config=taking("X FP32 [ 1, 4 ]", max_batch_size=0))
    assert [one.shape for one in fixed] == [(1, 4)] * 5
    assert [one.shape for one in made(given)] == [(1, 4)] * 5


def test_a_file_with_one_item_and_no_axis_of_items(tmp_path: Path):
    (one,) = made(saved(tmp_path, ROWS[0]))
    assert one.tolist() == [ROWS[0].tolist()]


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("FP32", np.array([[1, 2]], ">f8")),
        ("FP16", np.array([[1, 2]], np.float32)),
        ("INT32", np.array([[1, 2]], np.int64)),
        ("UINT8", np.array([[1, 2]], np.int64)),
        ("BF16", np.array([[1, 2]], ml_dtypes.bfloat16)),
        ("STRING", np.array([["1", "2"]])),
        ("STRING", np.array([[b"1", b"2"]])),
        ("BOOL", np.array([[True, True]])),
    ],
)
def test_types_of_the_same_kind_are_converted(tmp_path: Path, kind: str, array: np.ndarray):
    (one,) = made(saved(tmp_path, array), config=taking(f"X {kind} [ 2 ]"))
    expected = [[b"1", b"2"]] if kind == "STRING" else [[1, 2]] if kind != "BOOL" else [[True, True]]
    assert one.tolist() == expected
    assert one.dtype.isnative


def test_variable_sizes_go_together_with_their_like(tmp_path: Path):
    config = taking("X FP32 [ -1 ]")
    assert made(saved(tmp_path, np.zeros((3, 7), np.float32)), 3, config)[0].shape == (3, 7)
    with pytest.raises(DataError, match=r"X.npy: item 0: input 'X' takes FP32 \[5\] an item, found shape \[7\]"):
        DataSource((str(tmp_path / "X.npy"),), {"X": (5,)}).make(config, 1)


@pytest.mark.parametrize(
    ("array", "message", "fix"),
    [
        (ROWS.astype(np.int64), r"X.npy: item 0: input 'X' takes FP32, found INT64", "astype"),
        (ROWS.astype(str), "takes FP32, found <U32", "astype"),
        (ROWS[:, :3], r"item 0: input 'X' takes FP32 \[4\] an item, found shape \[3\]", "without the batch"),
        (ROWS[:0], r"found shape \[0, 4\], without an item", r"\[items, 4\]"),
        (np.array(1, np.float32), "without an item", "first axis|shape"),
        (
            np.where(ROWS == 6, np.nan, ROWS).astype(np.float32),
            r"item 1: .* 1 elements that are not numbers .* \[2\]",
            "nan_to_num",
        ),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, array: np.ndarray, message: str, fix: str):
    with pytest.raises(DataError, match=message) as caught:
        made(saved(tmp_path, array))
    assert re.search(fix, caught.value.fix)


def test_numbers_out_of_range(tmp_path: Path):
    with pytest.raises(DataError, match=r"takes UINT8, 0 to 255; found 256"):
        made(saved(tmp_path, np.array([[256]])), config=taking("X UINT8 [ 1 ]"))


def test_pickles_are_not_read(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    with pytest.raises(DataError, match="could run any code"):
        made(saved(tmp_path, np.array([Evil()], object)))
    (tmp_path / "X.npy").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match="does not begin as one"):
        made(str(tmp_path / "X.npy"))
    assert not (tmp_path / "ran").exists()


def test_broken_files(tmp_path: Path):
    whole = Path(saved(tmp_path, ROWS)).read_bytes()
    path = tmp_path / "broken.npy"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000, 4), }\n"
    for content, message in (
        (b"", "empty"),
        (whole[:-3], "cut off"),
        (whole[:40], "broken.npy"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header, "cut off"),
        (b"PK\x03\x04 zip", "npz"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            made(f"X:{path}")
    np.savez(tmp_path / "X.npz", X=ROWS)
    with pytest.raises(DataError, match="npz archives are not read") as caught:
        made(str(tmp_path / "X.npz"))
    assert "numpy.save" in caught.value.fix


def test_inputs_of_different_length(tmp_path: Path):
    saved(tmp_path, ROWS)
    saved(tmp_path, np.zeros((4, 1), np.int64), "N.npy")
    with pytest.raises(DataError, match=r"X.npy has 5, .*N.npy has 4"):
        DataSource((str(tmp_path),)).make(taking("X FP32 [ 4 ]", "N INT64 [ 1 ]"), 1)


def test_large_files_are_read_here_and_there(tmp_path: Path):
    given = saved(tmp_path, np.arange(10_000, dtype=np.float32).repeat(4).reshape(-1, 4))
    source = DataSource((given,), limits=Limits(items=100))
    assert [int(one["X"][0, 0]) for one in source.make(CONFIG, 1)] == list(range(0, 10_000, 100))
    look = source.look(CONFIG)
    assert look.items == 100
    assert any("100 of 10,000 items" in note for note in look.notes)
    few = DataSource((given,), limits=Limits(tensor_bytes=160)).make(CONFIG, 1)
    assert [int(one["X"][0, 0]) for one in few] == list(range(0, 10_000, 1000))


def test_what_has_no_data_is_made_up_and_said(tmp_path: Path):
    config = taking("X FP32 [ 4 ]", "N INT64 [ 1 ]")
    look = DataSource((saved(tmp_path, ROWS),)).look(config)
    assert look.made_up == ("N",)
    assert look.shapes == {"X": (4,), "N": (1,)}
    assert "input 'N' has no data: random values" in look.notes
