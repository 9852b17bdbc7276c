"""What can be given for a model's inputs: raw files, text, values of a range, and words that are not understood."""

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from described_models import taking
from image_models import image_config, write_image_model
from repositories import add_sub_config, write_model
from tcli_analyzer.data import DataError, DataSource, Strings
from tcli_analyzer.target import EngineTarget
from tcli_server import Engine

CONFIG = taking("A FP32 [ 2 ]", "T STRING [ 1 ]", "N INT64 [ 3 ]")
ROWS = np.arange(6, dtype="<f4").reshape(3, 2)


def test_a_folder_as_perf_analyzer_has_it(tmp_path: Path):
    (tmp_path / "A").write_bytes(ROWS[:1].tobytes())
    (tmp_path / "T").write_bytes(b"a word\n")
    (tmp_path / "N").write_bytes(np.array([7, 8, 9], "<i8").tobytes())
    (request,) = DataSource((str(tmp_path),)).make(CONFIG, 1)
    assert {name: array.tolist() for name, array in request.items()} == {
        "A": [[0, 1]],
        "T": [[b"a word"]],
        "N": [[7, 8, 9]],
    }


def test_raw_files_and_lines_of_several_items(tmp_path: Path):
    (tmp_path / "a.bin").write_bytes(ROWS.tobytes())
    (tmp_path / "words.txt").write_bytes("eins\nzwei\r\ndrei äöü".encode())
    given = (f"A:{tmp_path / 'a.bin'}", f"T:{tmp_path / 'words.txt'}", "N:0..9")
    first, second = DataSource(given).make(CONFIG, 2)
    assert first["A"].tolist() == ROWS[:2].tolist()
    assert second["T"].tolist() == [["drei äöü".encode()], [b"eins"]]
    assert 0 <= first["N"].min() <= first["N"].max() <= 9


def test_sizes_that_vary_in_raw_files(tmp_path: Path):
    (tmp_path / "x.raw").write_bytes(ROWS.tobytes())
    given = (str(tmp_path / "x.raw"),)
    assert DataSource(given).make(taking("X FP32 [ -1 ]"), 1)[0]["X"].shape == (1, 6)
    assert DataSource(given, {"X": (3,)}).make(taking("X FP32 [ -1 ]"), 2)[0]["X"].shape == (2, 3)
    with pytest.raises(DataError, match="does not say which shape"):
        DataSource(given).make(taking("X FP32 [ -1, -1 ]"), 1)
    with pytest.raises(DataError, match=r"takes FP32 \[4\], 16 bytes an item; found 24 bytes"):
        DataSource(given).make(taking("X FP32 [ 4 ]"), 1)


def test_made_up_values():
    requests = DataSource().make(CONFIG, 4)
    assert len(requests) == 8
    assert {tuple(one["N"].shape) for one in requests} == {(4, 3)}
    assert set(np.unique(np.stack([one["N"] for one in requests]))) == {0, 1}
    assert len({one["A"].tobytes() for one in requests}) == 8
    again = DataSource().make(CONFIG, 4)
    assert all((one["A"] == other["A"]).all() for one, other in zip(requests, again, strict=True))
    assert (
        len({one["A"].tobytes() for one in DataSource(seed=5).make(CONFIG, 4)} - {one["A"].tobytes() for one in again})
        == 8
    )
    zeros = DataSource(("zero",)).make(CONFIG, 1)[0]
    assert not zeros["A"].any()
    assert zeros["T"].tolist() == [[b""]]
    assert DataSource(("random",)).make(CONFIG, 1)[0]["A"].any()
    mixed = DataSource(("zero", "A:random", "N:5..5")).make(CONFIG, 1)[0]
    assert mixed["A"].any()
    assert mixed["N"].tolist() == [[5, 5, 5]]


def test_strings_are_made_up_as_wanted():
    texts = [one["T"][0, 0] for one in DataSource(strings=Strings(length=128)).make(CONFIG, 1)]
    assert {len(text) for text in texts} == {128}
    assert len(set(texts)) == 8
    assert DataSource(strings=Strings(data="always")).make(CONFIG, 1)[0]["T"].tolist() == [[b"always"]]


def test_a_range_of_fractions_and_of_a_small_type():
    config = taking("A FP32 [ 1000 ]", "N INT8 [ 1000 ]")
    (one, *_) = DataSource(("A:0.25..0.5", "N:-3..3")).make(config, 1)
    assert 0.25 <= one["A"].min() < 0.27
    assert 0.48 < one["A"].max() <= 0.5
    assert set(one["N"].ravel().tolist()) == set(range(-3, 4))


def test_a_model_of_pictures_gets_pictures(tmp_path: Path):
    write_image_model(tmp_path, "m", image_config())
    with Engine(tmp_path) as engine:
        (request, *_) = DataSource().make(engine.model_config("m"), 2)
        assert engine.infer("m", request).outputs["PIXELS"].std() > 10


def test_names_with_colons(tmp_path: Path):
    config = taking("in:0 FP32 [ -1 ]", "in FP32 [ -1 ]")
    np.save(tmp_path / "x.npy", np.zeros((1, 3), np.float32))
    request = DataSource((f"in:0:{tmp_path / 'x.npy'}", "in:5")).make(config, 1)[0]
    assert request["in:0"].shape == (1, 3)
    assert request["in"].shape == (1, 5)


def test_the_engine_runs_on_them_and_a_process_can_be_sent_the_source(tmp_path: Path):
    write_model(tmp_path, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    np.save(tmp_path / "INPUT0.npy", np.ones((4, 16)))
    source = pickle.loads(pickle.dumps(DataSource((str(tmp_path / "INPUT0.npy"), "INPUT1:2..2"))))
    with EngineTarget(tmp_path, "add_sub") as target:
        config = target.load()
    with Engine(tmp_path) as engine:
        outputs = engine.infer("add_sub", source.make(config, 3)[0]).outputs
    assert outputs["OUTPUT0"].tolist() == [[3] * 16] * 3


@pytest.mark.parametrize(
    ("given", "message", "fix"),
    [
        (("nowhere",), "nowhere: there is no such file or folder", "pictures, .npy"),
        (("{folder}/word.txt",), "there is no such file", "did you mean '.*words.txt'"),
        (("B:random",), "the model has no input 'B'", "its inputs are A, T, N"),
        (("AA:random",), "the model has no input 'AA'", "did you mean 'A'"),
        (("A:9..1",), "ends below its beginning", "1..9"),
        (("N:0..1.5",), "whole numbers", ""),
        (("T:0..1",), "which has no range", ""),
        (("A:3",), r"shape \[3\] does not fit input 'A', whose dims are \[2\]", "--shape A:2"),
        (("A:random", "A:zero"), "input 'A' is given twice", "one of them"),
        (("{folder}/words.txt", "T:random"), "input", ""),
        (("{folder}/what.csv",), "for which input", "NAME:"),
        (("A:{folder}/what.csv",), r"data of this kind \('.csv'\) is not read", "what is read: pictures"),
        (("A:{folder}/words.txt",), "not strings", ".npy"),
        (("A:{folder}/data.json",), "a JSON file has all inputs", "without 'A:'"),
        (("{folder}/data.json", "A:random"), "'A' is given by itself as well", "one of the two"),
        (("T:{folder}/empty.txt",), "the file is empty", ""),
        (("A:{folder}/nowhere.npy",), "there is no such file", ""),
    ],
)
def test_what_is_not_understood(tmp_path: Path, given: tuple[str, ...], message: str, fix: str):
    (tmp_path / "words.txt").write_text("a\nb\n")
    (tmp_path / "what.csv").write_text("1,2\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "data.json").write_text("[]")
    with pytest.raises(DataError, match=message) as caught:
        DataSource(tuple(text.replace("{folder}", str(tmp_path)) for text in given)).make(CONFIG, 1)
    assert re.search(fix, caught.value.fix)


def test_a_shape_for_no_input():
    with pytest.raises(DataError, match="model 'm' has no input 'B'") as caught:
        DataSource(shapes={"B": (1,)}).make(CONFIG, 1)
    assert caught.value.fix == "its inputs are A, T, N"


def test_lines_that_do_not_fill_items(tmp_path: Path):
    (tmp_path / "T.txt").write_text("a\nb\nc\n")
    with pytest.raises(DataError, match=r"takes BYTES \[2\], 2 lines an item; found 3 lines"):
        DataSource((str(tmp_path / "T.txt"),)).make(taking("T STRING [ 2 ]"), 1)


@pytest.mark.parametrize("name", ["N.npy", "T", "data.json"])
def test_pipes_are_not_waited_for(tmp_path: Path, name: str):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="not a regular file"):
        DataSource((str(tmp_path / name),)).make(CONFIG, 1)


def test_a_folder_of_everything_is_read_by_its_inputs_files(tmp_path: Path):
    (tmp_path / "A").write_bytes(ROWS[:1].tobytes())
    (tmp_path / "README.md").write_text("not data")
    (tmp_path / "more.json").write_text("{")
    assert DataSource((str(tmp_path),)).make(CONFIG, 1)[0]["A"].tolist() == [[0, 1]]
