"""`tcli repo check --deep` as a user runs it."""

import json
import subprocess
from pathlib import Path

import pytest

import batching_models as graphs
import forked_command
from ensemble_models import ensemble, write_ensemble


def deep(repository: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return forked_command.run("repo", "check", "--deep", "--model-repository", repository, *arguments, timeout=300)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Three models of which one answers wrongly in batches, one of their ensemble, and one that always answers the same."""
    right = graphs.config_of("right", 8, "[ 9 ]", "[ -1 ]")
    graphs.write(tmp_path, "right", graphs.pools_four, right)
    graphs.write(
        tmp_path,
        "wrong",
        lambda path: graphs.recurrent(path, None, None),
        graphs.config_of("wrong", 4, "[ -1, 3 ]", "[ -1, 4 ]"),
    )
    graphs.write(tmp_path, "same", graphs.answers_always_the_same, graphs.config_of("same", 4, "[ 4 ]", "[ 4 ]"))
    steps = [("right", {"x": "x"}, {"y": "y"})]
    ends = ['{ name: "x" data_type: TYPE_FP32 dims: [ 9 ] }'], ['{ name: "y" data_type: TYPE_FP32 dims: [ -1 ] }']
    write_ensemble(tmp_path, "pipe", ensemble(*ends, steps))
    return tmp_path


def test_every_model_is_told_and_a_wrong_one_fails(mixed: Path):
    result = deep(mixed)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "batches, compared with their items alone:"
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["pipe", "unchecked"],
        ["right", "1"],
        ["same", "1"],
        ["wrong", "1"],
    ]
    assert "  ok         batches of 2, 3, 8 give what single items give, " in lines[2]
    assert "  unchecked  the answers to different random inputs are the same" in lines[3]
    assert "  wrong      see below" in lines[4]
    assert f"{mixed}/wrong/config.pbtxt:4  max_batch_size" in lines
    assert (
        "  found:    4, but a batch of version 1 is not what its items are alone: output 'y' for a batch of 2"
        in result.stdout
    )
    assert "node 'lstm' (LSTM) does not keep the items apart" in result.stdout
    assert "  fix:      write max_batch_size: 0" in result.stdout
    assert lines[-1] == "4 models checked: 1 problem"


def test_as_json(mixed: Path):
    result = deep(mixed, "--json")
    assert result.returncode == 1
    document = json.loads(result.stdout)
    assert [problem["field"] for problem in document["problems"]] == ["max_batch_size"]
    told = {one["model"]: one for one in document["batches"]}
    assert {name: one["outcome"] for name, one in told.items()} == {
        "pipe": "unchecked",
        "right": "ok",
        "same": "unchecked",
        "wrong": "wrong",
    }
    assert (told["wrong"]["version"], told["wrong"]["output"], told["wrong"]["item"]) == (1, "y", 1)
    assert told["wrong"]["shapes"] == {"x": [8, 3]}
    assert told["right"]["sizes"] == [2, 3, 8]
    assert 0 <= told["right"]["largest_difference"] < 1e-3
    assert told["right"]["item"] is None


def test_one_model_whose_batches_are_right(mixed: Path):
    result = deep(mixed, "right")
    assert result.returncode == 0, result.stdout
    assert result.stdout.splitlines()[-1] == "1 model checked: no problems"


def test_without_deep_nothing_is_run(mixed: Path):
    result = forked_command.run("repo", "check", "--model-repository", mixed, "--json")
    assert result.returncode == 0
    assert set(json.loads(result.stdout)) == {"models", "problems"}


def test_a_framework_that_is_missing_is_named(tmp_path: Path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.plan").write_bytes(b"plan")
    result = deep(tmp_path)
    assert result.returncode == 1
    assert "m  unchecked  it does not load: found model.plan, a model for the backend 'tensorrt'" in result.stdout


def test_no_time_is_said(mixed: Path):
    result = deep(mixed, "wrong", "--deep-timeout", "0.1")
    assert result.returncode == 0
    assert "wrong 1  unchecked  it took longer than 0.1 seconds" in result.stdout
