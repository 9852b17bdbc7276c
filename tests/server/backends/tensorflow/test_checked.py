"""What `tcli repo check`, and so loading, says of SavedModels and their configurations."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tcli_server.models.check import check_repository
from tcli_server.repository.problem import Problem

tf = pytest.importorskip("tensorflow")
import tensorflow_models as models  # noqa: E402


def parameters(**values: str) -> str:
    lines = [f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in values.items()]
    return "\n".join(lines)


def write(repository: Path, config: str = "") -> Path:
    add_sub = models.AddSub()
    return models.write(
        repository, "model", add_sub, {"serving_default": add_sub.both, "other": add_sub.doubled}, config
    )


def only(repository: Path) -> Problem:
    (problem,) = check_repository(repository)
    return problem


def test_a_good_model_has_no_problems(tmp_path: Path):
    write(tmp_path)
    assert check_repository(tmp_path) == []


def test_signatures_and_tags_that_are_not_there(tmp_path: Path):
    write(tmp_path, parameters(TF_SIGNATURE_DEF="serve"))
    problem = only(tmp_path)
    assert (problem.expected, problem.found) == ("a signature 'serve'", "a SavedModel with other, serving_default")
    assert problem.fix == 'write TF_SIGNATURE_DEF as "other"'
    (tmp_path / "model" / "config.pbtxt").write_text(parameters(TF_GRAPH_TAG="train"))
    assert only(tmp_path).fix == 'write TF_GRAPH_TAG as "serve"'


def test_a_model_without_signatures(tmp_path: Path):
    models.write(tmp_path, "model", models.AddSub(), {})
    assert only(tmp_path).found == "a SavedModel with no signatures"


def test_parameters(tmp_path: Path):
    write(tmp_path, parameters(TF_NUM_INTRA_THREADS="many", TF_SIGNATURE="other", TF_USE_PER_SESSION_THREADS="true"))
    found = {problem.field: problem for problem in check_repository(tmp_path)}
    assert found['parameters["TF_NUM_INTRA_THREADS"]'].expected == "a whole number of threads, 0 for the default"
    assert found['parameters["TF_SIGNATURE"]'].fix == 'write "TF_SIGNATURE_DEF", or remove it'
    assert len(found) == 2


def test_the_configuration_is_compared_with_the_signature(tmp_path: Path):
    config = """
    max_batch_size: 4
    input { name: "x" data_type: TYPE_INT32 dims: [ 4 ] }
    input { name: "z" data_type: TYPE_FP32 dims: [ 3 ] }
    output { name: "sum" data_type: TYPE_FP32 dims: [ 5 ] }
    """
    write(tmp_path, config)
    found = {problem.field for problem in check_repository(tmp_path)}
    assert found >= {"input[0].data_type", "input[1].name", "output[0].dims"}


def test_batching_of_a_model_that_cannot(tmp_path: Path):
    write(tmp_path, "max_batch_size: 4\n" + parameters(TF_SIGNATURE_DEF="other"))
    problem = only(tmp_path)
    assert problem.field == "max_batch_size"
    assert "[2, 4]" in problem.found


def test_a_type_that_the_protocol_has_no_word_for(tmp_path: Path):
    models.write(tmp_path, "model", models.Identity(tf.complex64))
    assert "has type COMPLEX64, which Triton's protocol has no type for" in only(tmp_path).found


def damaged(folder: Path) -> dict[str, str]:
    """What is said of a SavedModel after each of some accidents."""
    document = folder / "saved_model.pb"
    content = document.read_bytes()
    said = {}
    for name, replaced in {
        "half": content[: len(content) // 2],
        "empty": b"",
        "page": b"<!DOCTYPE html><title>Sign in</title>",
        "pointer": b"version https://git-lfs.github.com/spec/v1\nsize 7\n",
    }.items():
        document.write_bytes(replaced)
        said[name] = only(folder.parents[2]).found
    document.write_bytes(content)
    return said


def test_damaged_files(tmp_path: Path):
    folder = write(tmp_path)
    said = damaged(folder)
    assert "no SavedModel, or a truncated one" in said["half"]
    assert said["empty"] == "an empty file"
    assert said["page"] == "an HTML page titled 'Sign in'"
    assert "a Git LFS pointer" in said["pointer"]
    shutil.rmtree(folder / "variables")
    problem = only(tmp_path)
    assert f"refused by TensorFlow {tf.__version__}" in problem.found
    assert "\n" not in problem.found
    assert "variables folder beside saved_model.pb" in problem.fix


def test_folders_that_are_something_else(tmp_path: Path):
    folder = write(tmp_path)
    folder.rename(folder.parent / "inner")
    folder.mkdir()
    (folder.parent / "inner").rename(folder / "inner")
    assert only(tmp_path).fix == f"move what is in {folder / 'inner'} to {folder}"
    shutil.rmtree(folder / "inner")
    assert only(tmp_path).found == "a folder without saved_model.pb"
    folder.rmdir()
    folder.write_bytes(b"PK\x03\x04")
    assert only(tmp_path).found == "a file"


def test_each_instance_has_threads_of_its_own(tmp_path: Path):
    """In a process of its own, as TensorFlow reads what decides it once."""
    folder = write(tmp_path)
    program = f"""
import os, threading
from pathlib import Path
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tcli_server.backends import Placement, Surroundings
from tcli_server.backends.registry import backend
import numpy as np
opened = []
def threads(count):
    before = len(os.listdir("/proc/self/task"))
    placement, where = Placement("m", None, count), Surroundings(Path("."), 1)
    instance = backend("tensorflow").open(ModelConfig(), Path({str(folder)!r}), placement, where)
    instance.run({{"x": np.ones((1, 4), np.float32), "y": np.ones((1, 3), np.float32)}}, ["sum"])
    opened.append(instance)
    return len(os.listdir("/proc/self/task")) - before
threads(1)
few, many = threads(2), threads(9)
print(few, many)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    few, many = map(int, ran.stdout.split())
    assert many - few >= 7
