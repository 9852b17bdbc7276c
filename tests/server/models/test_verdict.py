"""`tcli repo check` and a server judge alike: what one passes the other loads, and the reverse."""

from pathlib import Path

import pytest

import onnx_models
from broken_models import BROKEN
from ensemble_models import ensemble, write_ensemble
from repositories import add_sub_config, write_model, write_standard_models
from sequence_models import sums, sums_config
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
    TENSORS.replace('name: "INPUT1"', 'name: "INPUT1" allow_ragged_batch: true'),
    TENSORS + "batch_input { }",
    TENSORS + 'batch_input { target_name: "NOWHERE" data_type: TYPE_INT32 source_input: "INPUT0" }',
    TENSORS + 'batch_output { target_name: "OUTPUT0" source_input: "INPUT0" }',
    TENSORS + 'batch_output { target_name: "OUTPUT7" source_input: "INPUT0" }',
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


STATE = "TYPE_INT32 dims: [ 1 ]"
INITIAL = 'initial_state { name: "i" data_type: TYPE_INT32 dims: [ 9223372036854775807 ] zero_data: true }'
SEQUENCES = [
    sums_config(),
    sums_config("oldest { max_candidate_sequences: -5 }"),
    sums_config("oldest { max_candidate_sequences: 2000000000 }"),
    sums_config("direct { minimum_slot_utilization: nan }"),
    sums_config("max_sequence_idle_microseconds: 18446744073709551615"),
    sums_config(max_batch_size=2_000_000_000),
    sums_config(initial=INITIAL).replace(f"{STATE} initial", "TYPE_INT32 dims: [ -1 ] initial"),
    sums_config(initial=INITIAL.replace("zero_data: true", 'data_file: "."')),
    sums_config().replace(f"{STATE}  }}", "TYPE_INT32 dims: [ 1000000000000 ] }"),
    sums_config().replace(f"{STATE}  }}", "TYPE_INT32 dims: [ 9223372036854775807, 9223372036854775807 ] }"),
    *(sums_config().replace(f"{STATE}  }}", f"TYPE_INT32 dims: {[1] * count} }}") for count in (63, 64, 65)),
    sums_config().replace('"SUM_IN"', '"START"'),
    sums_config().replace("SUM_OUT", "SEEN"),
    sums_config().replace("CORRID", "OTHER"),
]


@pytest.mark.parametrize("config", SEQUENCES)
def test_of_sequences(tmp_path: Path, config: str):
    write_model(tmp_path, "m", sums(), config)
    (verdict,) = verdicts(tmp_path).values()
    assert verdict in ((True, True), (False, False))


PAIR = {"INPUT0": "INPUT0", "INPUT1": "INPUT1"}
ENSEMBLES = [
    [("m", PAIR, {"OUTPUT0": "OUT"})],
    [("m:1", PAIR, {"OUTPUT0": "OUT"})],
    [("m:2", PAIR, {"OUTPUT0": "OUT"})],
    [("broken_in_one_version", PAIR, {"OUTPUT0": "OUT"})],
    [("fails_to_warm_up", PAIR, {"OUTPUT0": "OUT"})],
    [("nobody", PAIR, {"OUTPUT0": "OUT"})],
    [("e", PAIR, {"OUT": "OUT"})],
    [("m", {"INPUT0": "INPUT0"}, {"OUTPUT0": "OUT"})],
    [("m", {**PAIR, "INPUT2": "INPUT1"}, {"OUTPUT0": "OUT"})],
    [("m", PAIR, {"OUTPUT0": "OUT", "OUTPUT1": "unused"})],
]


@pytest.mark.parametrize("batch", [0, 8, 9])
@pytest.mark.parametrize("steps", ENSEMBLES)
def test_of_ensembles(tmp_path: Path, steps: list, batch: int):
    write_model(tmp_path, "m", onnx_models.add_sub(), TENSORS)
    write_model(tmp_path, "broken_in_one_version", b"not one", TENSORS.replace('"m"', '"broken_in_one_version"'))
    write_model(tmp_path, "broken_in_one_version", onnx_models.add_sub(), version=2)
    path = tmp_path / "broken_in_one_version" / "config.pbtxt"
    path.write_text(path.read_text() + "version_policy { all { } }")
    warmup = (
        'model_warmup { name: "w" batch_size: 1 inputs { key: "INPUT0" value { data_type: TYPE_FP32 dims: [ 16 ] } } }'
    )
    write_model(
        tmp_path, "fails_to_warm_up", onnx_models.add_sub(), TENSORS.replace('"m"', '"fails_to_warm_up"') + warmup
    )
    write_ensemble(tmp_path, "e", ensemble(["INPUT0", "INPUT1"], ["OUT"], steps, batch))
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
