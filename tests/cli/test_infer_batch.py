"""`tcli infer` of data that is no picture, into files, and without a server, as a user runs it."""

import csv
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from colour_models import write_colour_models
from infer_command import COMMAND, infer
from python_models import write_python_model
from repositories import write_standard_models
from serve_command import serving

LENGTH = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            contents = pb_utils.get_input_tensor_by_name(request, "content").as_numpy()
            if any(len(row[0]) > 9 for row in contents):
                responses.append(pb_utils.InferenceResponse(error=pb_utils.TritonError("longer than 9 bytes")))
                continue
            lengths = np.array([[len(row[0])] for row in contents], np.int32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("length", lengths)]))
        return responses
"""
LENGTH_CONFIG = """
backend: "python"
max_batch_size: 4
input [ { name: "content" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "length" data_type: TYPE_INT32 dims: [ 1 ] } ]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and the models of `./model_repository`."""
    folder = tmp_path_factory.mktemp("batch")
    repository = write_standard_models(folder / "model_repository")
    write_python_model(repository, "length", LENGTH, LENGTH_CONFIG)
    (folder / "rows.csv").write_text(
        "id,"
        + ",".join(f"x{n}" for n in range(16))
        + ",y\n"
        + "\n".join(f"{row}," + ",".join(str(row + n) for n in range(16)) + f',"{[row] * 16}"' for row in range(20))
    )
    np.savez(
        folder / "rows.npz",
        INPUT0=np.ones((50, 16), np.float32),
        INPUT1=np.arange(800, dtype=np.float32).reshape(50, 16),
    )
    (folder / "texts.jsonl").write_text('{"content": "abc"}\n{"content": "far too long"}\n7\n{"content": "ä"}\n')
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with serving("--model-repository", folder / "model_repository") as server:
        yield f"grpc://{server.url('gRPC')}"


MAPPED = ["-m", "add_sub", "--map", f"INPUT0={','.join(f'x{n}' for n in range(16))}", "--map", "INPUT1=y"]


def test_a_table_without_a_server_is_json_lines_on_stdout(folder: Path):
    run = infer(folder, "rows.csv", *MAPPED, "--local")
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [(row["source"], row["index"]) for row in rows] == [("rows.csv", index) for index in range(20)]
    assert [row["outputs"]["OUTPUT0"][3] for row in rows] == [2 * index + 3 for index in range(20)]
    assert "input 'INPUT1' <- y" in run.stderr


def test_a_server_gives_the_same(folder: Path, url: str):
    local = infer(folder, "rows.csv", *MAPPED, "--local", "-o", "local.csv", "--json")
    asked = infer(folder, "rows.csv", *MAPPED, "-u", url, "-o", "asked.csv", "--json")
    assert json.loads(local.stdout)["rows"] == json.loads(asked.stdout)["rows"] == 20
    assert (folder / "local.csv").read_text() == (folder / "asked.csv").read_text()
    first = next(iter(csv.DictReader((folder / "asked.csv").open())))
    assert first["source"] == "rows.csv"
    assert float(first["OUTPUT1_5"]) == 5


def test_rows_without_an_answer_are_told_and_cost_no_other(folder: Path):
    run = infer(folder, "texts.jsonl", "-m", "length", "--local", "-o", "lengths.jsonl", "--json")
    assert run.returncode == 1
    assert json.loads(run.stdout)["refused_rows"] == 2
    rows = [json.loads(line) for line in (folder / "lengths.jsonl").read_text().splitlines()]
    assert [(row["index"], row["outputs"]["length"]) for row in rows] == [(0, [3]), (3, [2])]
    errors = [json.loads(line) for line in (folder / "lengths.jsonl.errors.jsonl").read_text().splitlines()]
    assert sorted((error["index"], error["source"]) for error in errors) == [(1, "texts.jsonl"), (2, "texts.jsonl")]
    assert any("longer than 9 bytes" in error["reason"] for error in errors)
    assert not (folder / "lengths.jsonl.parts").exists()


def test_whole_files_are_bytes(folder: Path):
    (folder / "files").mkdir(exist_ok=True)
    for name, content in {"a": b"12345", "b.txt": b"\0\xff"}.items():
        (folder / "files" / name).write_bytes(content)
    run = infer(folder, "--bytes", "files", "-m", "length", "--local", "-o", "files.parquet")
    assert run.returncode == 0, run.stderr
    table = pq.read_table(folder / "files.parquet").to_pylist()
    assert table == [
        {"source": "files/a", "index": 0, "length": 5},
        {"source": "files/b.txt", "index": 0, "length": 2},
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["rows.csv", "-m", "add_sub", "--local"], 2, "--map INPUT0=COLUMN"),
        (["rows.csv", "-m", "add_sub", "--local", "--map", "INPUT0=zz"], 2, "no column 'zz'"),
        (["rows.csv", "--local"], 2, "say which with --model"),
        (["rows.csv", "-m", "nobody", "--local"], 1, "nobody"),
        (["nothere.csv", "-m", "add_sub", "--local"], 2, "'nothere.csv': there is no such file"),
        (["rows.npz", "-m", "add_sub", "--local", "-o", "x.txt"], 2, "let its name end in"),
        (["rows.npz", "-m", "add_sub", "--local", "-o", "new/folder/x.csv"], 0, ""),
        (["rows.npz", "-m", "add_sub", "--local", "--resume"], 2, "without --output"),
        (["--frames", ".", "-m", "add_sub", "--local", "-o", "x.csv"], 2, "frames of videos are not written"),
        (["rows.npz", "-m", "add_sub", "--local", "-u", "localhost"], 2, "no server is asked"),
        (["rows.npz", "-m", "add_sub", "--model-repository", "nowhere"], 1, "no model repository 'nowhere'"),
        (["rows.npz", "-m", "add_sub", "-u", "127.0.0.1:9"], 1, "no server answers"),
        (["rows.npz", "-m", "no_batch", "--local", "-c", "2"], 2, "no output that could be ranked"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, arguments: list[str], status: int, words: str):
    run = infer(folder, *arguments)
    assert run.returncode == status, run.stderr
    assert words in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr


def test_what_is_there_is_not_written_over(folder: Path):
    (folder / "there.csv").write_text("precious")
    run = infer(folder, "rows.npz", "-m", "add_sub", "--local", "-o", "there.csv")
    assert run.returncode != 0
    assert "--overwrite" in run.stderr
    assert (folder / "there.csv").read_text() == "precious"
    assert infer(folder, "rows.npz", "-m", "add_sub", "--local", "-o", "there.csv", "--overwrite").returncode == 0


def test_whoever_reads_only_the_first_lines_gets_no_traceback(folder: Path):
    process = subprocess.Popen(
        [*COMMAND, "rows.npz", "-m", "add_sub", "--local"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait()


def test_closed_standard_streams_are_nobodys_files(folder: Path):
    """The shell's `>&-`: the first file that the command opens would be what it prints to."""
    (folder / "short.jsonl").write_text('{"content": "abc"}\n')
    command = [*COMMAND, "short.jsonl", "-m", "length", "--local"]
    ended = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], cwd=folder, timeout=120, check=False)
    assert ended.returncode == 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, one of which is none, and classifiers in `./model_repository`."""
    folder = tmp_path_factory.mktemp("pictures")
    write_colour_models(folder / "model_repository")
    (folder / "shots").mkdir()
    for number, colour in enumerate([(255, 51, 0), (0, 51, 255), (0, 255, 0)]):
        Image.new("RGB", (12, 9), colour).save(folder / "shots" / f"{number}.png")
    (folder / "shots" / "1.5.png").write_bytes(b"no picture")
    return folder


def test_the_repository_in_the_folder_answers_where_no_server_does(pictures: Path):
    """In the same words, but for one line that says so; never where a server was named."""
    run = infer(pictures, "shots/0.png", "-m", "colours", "-s", "NONE", "--local")
    assert run.stdout.splitlines()[1].split() == ["255.000000", "(0)", "red:", "hot"]
    assert run.stderr == ""
    with suppress(OSError), socket.create_connection(("localhost", 8000), 1):
        pytest.skip("something listens at localhost:8000")
    alone = infer(pictures, "shots/0.png", "-m", "colours", "-s", "NONE")
    assert alone.stdout == run.stdout
    assert alone.stderr.count("\n") == 1
    assert "run in this process" in alone.stderr


def test_pictures_have_classes_and_tensors_too_where_they_are_wanted(pictures: Path):
    run = infer(pictures, "shots", "-m", "colours", "-s", "NONE", "--local", "-o", "classes.csv", "-c", "1")
    assert run.returncode == 1
    assert (pictures / "classes.csv").read_text().splitlines() == [
        "source,index,class_1,score_1",
        "shots/0.png,0,red: hot,255.0",
        "shots/1.png,0,blue,255.0",
        "shots/2.png,0,green,255.0",
    ]
    (error,) = map(json.loads, (pictures / "classes.csv.errors.jsonl").read_text().splitlines())
    assert error["source"] == "shots/1.5.png"
    both = infer(pictures, "shots/0.png", "-m", "half", "-s", "NONE", "--local", "-o", "both.jsonl", "-c", "2", "--raw")
    assert both.returncode == 0, both.stderr
    row = json.loads((pictures / "both.jsonl").read_text())
    assert row["outputs"] == {"scores": [255, 51, 0]}
    assert [(best["index"], best["score"]) for best in row["classes"]["scores"]] == [(0, 255), (1, 51)]
