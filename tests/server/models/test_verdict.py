"""`tcli repo check` and a server judge alike: what one passes the other loads, and the reverse."""

from pathlib import Path

import pytest

import onnx_models
from broken_models import BROKEN
from repositories import add_sub_config, write_model, write_standard_models
from tcli_server import Engine
from tcli_server.models.check import check_model
from tcli_server.repository import model_folders

TENSORS = add_sub_config("m", more="").replace('label_filename: "labels.txt"', "")
CONFIGS = [
    "",
    TENSORS,
    TENSORS.replace("dims: [ 16 ]", "dims: [ 17 ]"),
    TENSORS.replace("dims: [ 16 ]", "dims: [ -1, 16 ]"),
    TENSORS.replace("TYPE_FP32", "TYPE_FP16"),
    TENSORS.replace("INPUT1", "INPUT2"),
    TENSORS.replace("OUTPUT1", "OUTPUT2"),
    TENSORS.replace('name: "m"', 'name: "other"'),
    TENSORS.replace("max_batch_size: 8", "max_batch_size: 0"),
    TENSORS.replace("max_batch_size: 8", "max_batch_size: -1"),
    TENSORS.replace('name: "INPUT1"', 'name: "INPUT1" optional: true'),
    TENSORS.replace('name: "OUTPUT1"', 'name: "OUTPUT1" label_filename: "nowhere.txt"'),
    TENSORS + "instance_group { kind: KIND_GPU }",
    TENSORS + "instance_group { kind: KIND_CPU count: 2 }",
    TENSORS + "instance_group { kind: KIND_CPU count: 5000 }",
    TENSORS + "sequence_batching { iterative_sequence: true }",
    TENSORS + "dynamic_batching { preferred_batch_size: 9 }",
    TENSORS + "dynamic_batching { priority_levels: 2 }",
    TENSORS + "dynamic_batching { priority_levels: 2 default_priority_level: 1 }",
    TENSORS + "version_policy { specific { versions: [ 3 ] } }",
    TENSORS + "version_policy { specific { versions: [ 1, 3 ] } }",
    TENSORS + 'metric_tags { key: "team-name" value: "x" }',
    TENSORS + 'parameters { key: "session.log_severity_level_file" value { string_value: "x" } }',
    TENSORS + 'parameters { key: "intra_op_thread_count" value { string_value: "x" } }',
    TENSORS.replace('backend: "onnxruntime"', 'backend: "python"'),
    TENSORS.replace('backend: "onnxruntime"', 'platform: "ensemble"'),
    TENSORS.replace('backend: "onnxruntime"', 'platform: "tensorflow_graphdef"'),
    "max_batch_size: 4",
    "max_batch_size: four",
    'default_model_filename: "net.onnx"',
    "{",
]


def verdicts(repository: Path) -> dict[str, tuple[bool, bool]]:
    """Model -> whether the check passes it, and whether a server loads it."""
    folders = model_folders([repository])
    passed = {name: not any(problem.blocks for problem in check_model(found[0])) for name, found in folders.items()}
    with Engine(repository) as engine:
        loaded = {row.name: row.state == "READY" for row in engine.repository_index().models}
    return {name: (passed[name], loaded[name]) for name in folders}


@pytest.mark.parametrize("config", CONFIGS)
def test_of_a_configuration(tmp_path: Path, config: str):
    write_model(tmp_path, "m", onnx_models.add_sub(), config or None)
    (verdict,) = verdicts(tmp_path).values()
    assert verdict in ((True, True), (False, False))


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
def test_of_what_nobody_meant(tmp_path: Path, spoil):
    spoil(tmp_path)
    for name, verdict in verdicts(tmp_path).items():
        assert verdict in ((True, True), (False, False)), name


def test_of_models_of_every_kind(tmp_path: Path):
    write_standard_models(tmp_path)
    write_model(tmp_path, "batch_of_one", onnx_models.add_sub(shape=(1, 16)), "max_batch_size: 4")
    write_model(tmp_path, "no_model", b"not one")
    (tmp_path / "empty").mkdir()
    found = verdicts(tmp_path)
    assert {name for name, verdict in found.items() if verdict == (False, False)} == {
        "batch_of_one",
        "no_model",
        "empty",
    }
    assert set(found.values()) == {(True, True), (False, False)}
