"""`check_repository`: everything that is wrong, at once, each with file, line, field, found, expected and fix."""

from pathlib import Path

import pytest
from onnx import TensorProto

import onnx_models
from repositories import write_model, write_standard_models
from tcli_server import Engine
from tcli_server.errors import NotFoundError
from tcli_server.models.check import check_repository
from tcli_server.models.overview import TensorOverview, model_overviews
from tcli_server.repository import Problem

BATCHING = onnx_models.identity(shape=("N", 4))
GOOD = """name: "{name}"
backend: "onnxruntime"
max_batch_size: 8
input [ {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 4 ] }} ]
"""


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, [str(problem) for problem in problems]
    return problems[0]


def test_what_is_right_is_no_problem(standard_repository: Path):
    problem = only(check_repository(standard_repository))  # add_sub has a label too few on purpose
    assert problem.file == standard_repository / "add_sub" / "config.pbtxt"
    assert problem.field == "output[0].label_filename"
    assert check_repository(standard_repository, "reshaped") == []


def test_every_problem_of_every_model_is_told_at_once(tmp_path: Path):
    write_model(
        tmp_path,
        "first",
        BATCHING,
        """name: "frist"
backend: "onnxruntime"
max_batch_size: 8
input [
  {
    name: "INPUT0"
    data_type: TYPE_FP16
    dims: [ -1, 4 ]
    formt: FORMAT_NONE
  }
]
output [
  {
    name: "OUTPUT"
    data_type: TYPE_FP32
    dims: [ 4 ]
    label_filename: "labels.txt"
  }
]
optimization { eager_batching: true }
""",
        **{"labels.txt": "a\nb\nc\n"},
    )
    (tmp_path / "second").mkdir()
    problems = check_repository(tmp_path)
    config = tmp_path / "first" / "config.pbtxt"
    assert [(problem.file, problem.line, problem.field) for problem in problems] == [
        (config, 1, "name"),
        (config, 7, "input[0].data_type"),
        (config, 8, "input[0].dims"),
        (config, 9, "input[0].formt"),
        (config, 14, "output[0].name"),
        (config, 17, "output[0].label_filename"),
        (config, 20, "optimization.eager_batching"),
        (tmp_path / "second", None, ""),
    ]
    assert all(problem.found and problem.expected and problem.fix for problem in problems)
    assert check_repository(tmp_path, "second") == problems[-1:]


def test_the_batch_dimension_listed_although_the_model_batches(tmp_path: Path):
    write_model(tmp_path, "m", BATCHING, GOOD.format(name="m").replace("dims: [ 4 ]", "dims: [ -1, 4 ]", 1))
    problem = only(check_repository(tmp_path))
    assert (problem.line, problem.field) == (4, "input[0].dims")
    assert "the batch dimension is there twice" in problem.found
    assert problem.fix == "leave out the first dimension: dims: [ 4 ]"


def test_a_batch_size_for_a_model_that_cannot_batch(tmp_path: Path):
    write_model(tmp_path, "m", onnx_models.identity(shape=(1, 4)), "max_batch_size: 8\n")
    problem = only(check_repository(tmp_path))
    assert (problem.line, problem.field) == (1, "max_batch_size")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n", "a Git LFS pointer"),
        (b"<!doctype html><html>", "an HTML page"),
        (BATCHING[:40], "no ONNX file, or a truncated one"),
        (b"\x00" * 200, "no ONNX file"),
    ],
)
def test_a_broken_model_file_is_named_for_what_it_is(tmp_path: Path, content: bytes, found: str):
    write_model(tmp_path, "m", content, GOOD.format(name="m"))
    problem = only(check_repository(tmp_path))
    assert problem.file == tmp_path / "m" / "1" / "model.onnx"
    assert problem.found.startswith(found)


def test_a_missing_model_file_and_one_with_another_name(tmp_path: Path):
    write_model(tmp_path, "m", BATCHING, GOOD.format(name="m"))
    file = tmp_path / "m" / "1" / "model.onnx"
    file.rename(file.with_name("net.onnx"))
    problem = only(check_repository(tmp_path))
    assert problem.file == file
    assert 'default_model_filename: "net.onnx"' in problem.fix
    (tmp_path / "m" / "config.pbtxt").unlink()
    assert 'default_model_filename: "net.onnx"' in only(check_repository(tmp_path)).fix
    file.with_name("net.onnx").unlink()
    assert "no model file" in only(check_repository(tmp_path)).found


def test_a_model_without_a_version_folder(tmp_path: Path):
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "model.onnx").write_bytes(BATCHING)
    (tmp_path / "named" / "v1").mkdir(parents=True)
    (tmp_path / "named" / "v1" / "model.onnx").write_bytes(BATCHING)
    flat, named = check_repository(tmp_path)
    assert "model.onnx but no version folder" in flat.found
    assert "v1 is not a number" in named.found
    assert named.fix.startswith("rename")


def test_a_model_file_in_the_repository_itself(tmp_path: Path):
    (tmp_path / "net.onnx").write_bytes(BATCHING)
    assert "tcli repo add" in only(check_repository(tmp_path)).fix


def test_versions_that_the_policy_names_but_are_not_there(tmp_path: Path):
    write_model(
        tmp_path, "m", BATCHING, GOOD.format(name="m") + "version_policy {\n  specific { versions: [ 1, 3 ] }\n}\n"
    )
    problem = only(check_repository(tmp_path))
    assert (problem.line, problem.field) == (7, "version_policy.specific.versions[1]")


def test_every_version_is_compared_with_the_configuration(tmp_path: Path):
    config = GOOD.format(name="m") + "version_policy { all { } }\n"
    write_model(tmp_path, "m", BATCHING, config)
    write_model(tmp_path, "m", onnx_models.identity(TensorProto.INT32), config, version=2)
    assert {problem.field for problem in check_repository(tmp_path)} == {"input[0].data_type", "output[0].data_type"}


def test_labels_that_do_not_match_the_class_count(tmp_path: Path):
    config = GOOD.format(name="m").replace('"OUTPUT0"', '"OUTPUT0" label_filename: "labels.txt"')
    folder = write_model(tmp_path, "m", BATCHING, config, **{"labels.txt": "a\nb\nc\nd\n"})
    assert check_repository(tmp_path) == []
    (folder / "labels.txt").write_text("a\nb\n")
    problem = only(check_repository(tmp_path))
    assert (problem.line, problem.field) == (5, "output[0].label_filename")
    assert problem.found.startswith("2 labels")
    assert problem.expected.startswith("4, one for each class")


@pytest.mark.parametrize("name", ["1/config.pbtxt", "config.txt", "config.pbtxt.txt", "model.pbtxt"])
def test_a_configuration_where_nobody_reads_it(tmp_path: Path, name: str):
    folder = write_model(tmp_path, "m", BATCHING)
    (folder / name).write_text(GOOD.format(name="m"))
    problem = only(check_repository(tmp_path))
    assert problem.file == folder / name
    assert problem.fix == f"move it to {folder / 'config.pbtxt'}"


def test_weights_in_a_file_that_is_not_there(tmp_path: Path):
    folder = tmp_path / "m" / "1"
    folder.mkdir(parents=True)
    onnx_models.save_with_external_weights(folder / "model.onnx", "weights.bin")
    assert check_repository(tmp_path) == []
    (folder / "weights.bin").unlink()
    assert "weights.bin" in only(check_repository(tmp_path)).found


def test_a_model_in_a_folder_with_its_weights(tmp_path: Path):
    folder = tmp_path / "m" / "1" / "model.onnx"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(BATCHING)
    assert check_repository(tmp_path) == []


def test_a_model_that_is_not_there_is_an_error_with_the_nearest_name(tmp_path: Path):
    write_model(tmp_path, "densenet", BATCHING)
    with pytest.raises(NotFoundError, match="did you mean 'densenet'"):
        check_repository(tmp_path, "desnet")
    with pytest.raises(NotFoundError, match="does not exist"):
        check_repository(tmp_path / "nope")


def test_an_overview_shows_what_auto_completion_makes_of_a_model(tmp_path: Path):
    write_standard_models(tmp_path)
    write_model(tmp_path, "broken", b"")
    models = {model.name: model for model in model_overviews(tmp_path)}
    identity = models["identity_bytes"]
    assert identity.max_batch_size == 4
    assert identity.inputs == (TensorOverview("INPUT0", "BYTES", (-1,)),)
    assert identity.versions == (1,)
    assert identity.problem_count == 0
    assert models["broken"].problem_count == 1
    assert models["reshaped"].inputs[0].dims == (2, 2)


def test_files_and_hidden_folders_are_not_taken_for_versions(tmp_path: Path):
    (tmp_path / "m" / ".git").mkdir(parents=True)
    (tmp_path / "m" / "README.md").touch()
    problem = only(check_repository(tmp_path))
    assert (problem.found, problem.fix) == ("no version folder", "put the model file there")
    (tmp_path / "m" / "first").mkdir()
    assert only(check_repository(tmp_path)).found == "no version folder: first is not a number without leading zeros"


def test_only_what_keeps_a_model_from_being_served_blocks(tmp_path: Path):
    folder = write_model(tmp_path, "m", BATCHING, "version_policy { specific { versions: [ 1, 5 ] } }")
    (folder / "1" / "config.pbtxt").touch()
    (tmp_path / "stray.onnx").write_bytes(BATCHING)
    problem, stray = sorted(check_repository(tmp_path), key=lambda problem: str(problem.file))
    assert (problem.field, problem.line) == ("version_policy.specific.versions[1]", 1)
    assert (problem.found, stray.file) == ("version 5", tmp_path / "stray.onnx")
    assert (problem.blocks, stray.blocks) == (False, False)
    with Engine(tmp_path) as engine:
        assert engine.ready()


def test_what_a_repository_holds_at_a_glance(tmp_path: Path):
    write_model(tmp_path, "real", BATCHING)
    write_model(tmp_path, "random", BATCHING, 'parameters { key: "tcli_placeholder" value { string_value: "1" } }')
    (tmp_path / "empty").mkdir()
    tensor = '{ name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] }'
    write_model(tmp_path, "half", BATCHING, f"max_batch_size: 2 input {tensor}")
    found = {overview.name: overview for overview in model_overviews(tmp_path)}
    assert [(name, one.placeholder, one.problem_count) for name, one in found.items()] == [
        ("empty", False, 1),
        ("half", False, 0),
        ("random", True, 0),
        ("real", False, 0),
    ]
    assert (found["empty"].versions, found["empty"].backend) == ((), "")
    assert [tensor.name for tensor in found["half"].outputs] == ["OUTPUT0"]
    real = found["real"]
    assert (real.versions, real.backend, real.path) == ((1,), "onnxruntime", tmp_path / "real")
    assert [(tensor.name, tensor.datatype, tensor.dims) for tensor in real.inputs] == [("INPUT0", "FP32", (4,))]


@pytest.mark.parametrize(("labels", "fix"), [("a\nb\n", "add or remove lines"), ("", "write one class name a line")])
def test_labels_that_are_too_few(tmp_path: Path, labels: str, fix: str):
    config = GOOD.format(name="m").replace(
        'output [ { name: "OUTPUT0"', 'output [ { label_filename: "labels.txt" name: "OUTPUT0"'
    )
    write_model(tmp_path, "m", BATCHING, config, **{"labels.txt": labels})
    problem = only(check_repository(tmp_path))
    assert (problem.expected, problem.fix) == ("4, one for each class of 'OUTPUT0' (dims: [4])", fix)
    assert not problem.blocks
