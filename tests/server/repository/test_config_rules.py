"""Triton's static rules: what a real Triton 2.51 accepted and refused, case by case."""

import os
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelWarmup

from tcli_server.repository import ModelFolder, config_problems, unsupported_problems

INPUT = 'input { name: "I" data_type: TYPE_FP32 dims: [ 4 ] }'
OUTPUT = 'output { name: "O" data_type: TYPE_FP32 dims: [ 4 ] }'


def inputs(dims: str, more: str = "") -> str:
    return f'input {{ name: "I" data_type: TYPE_FP32 dims: [ {dims} ] {more} }}'


ACCEPTED = [
    f"{INPUT} {OUTPUT}",
    inputs("-1"),
    inputs(", ".join(["1"] * 64)),
    inputs("3, 4, 4", "format: FORMAT_NCHW"),
    inputs("4", "reshape { shape: [ 1, 2, 2 ] }"),
    inputs("2, 4, -1, 6", "reshape { shape: [ 8, -1, 1, 6 ] }"),
    inputs("1", "reshape { }") + " max_batch_size: 8",
    inputs("4", "optional: true"),
    "dynamic_batching { }",
    "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 1, 4 ] }",
    "instance_group { kind: KIND_CPU count: 0 }",
    'instance_group [ { name: "a" }, { name: "a" } ]',
    'platform: "onnxruntime_onnx" backend: "onnxruntime"',
    'name: "model"',
    "",
]

LEVELS = "priority_levels: 2 default_priority_level: 1"
DELAY = "timeout_action: DELAY default_timeout_microseconds: 5"
QUEUES = [
    (LEVELS, None),
    ("priority_levels: 2", "default_priority_level"),
    ("priority_levels: 2 default_priority_level: 3", "default_priority_level"),
    ("default_priority_level: 3", None),
    (f"{LEVELS} priority_queue_policy {{ key: 2 value {{ }} }}", None),
    (f"{LEVELS} priority_queue_policy {{ key: 3 value {{ }} }}", 'priority_queue_policy["3"]'),
    (f"{LEVELS} priority_queue_policy {{ key: 0 value {{ }} }}", 'priority_queue_policy["0"]'),
    ("priority_queue_policy { key: 3 value { } }", None),
    (f"preserve_ordering: true {LEVELS}", "preserve_ordering"),
    ("preserve_ordering: true priority_levels: 1 default_priority_level: 1", None),
    ("preserve_ordering: true default_queue_policy { timeout_action: DELAY }", None),
    (f"preserve_ordering: true default_queue_policy {{ {DELAY} }}", "default_queue_policy.timeout_action"),
    (
        f"preserve_ordering: true priority_queue_policy {{ key: 1 value {{ {DELAY} }} }}",
        'priority_queue_policy["1"].value.timeout_action',
    ),
]
"""dynamic_batching -> the field that a real Triton refuses, if any."""

PATHS = [
    "../model.onnx",
    "a/../../model.onnx",
    "/etc/passwd",
    "C:/model.onnx",
    "c:model.onnx",
    "..\\model.onnx",
    "a\\b",
    "\\\\host\\share",
    "a\0b",
    "n" * 256,
    "ä" * 128,
    "n/" * 512 + "n",
    ".",
    "folder/",
]

REFUSED = [
    ("model_repository_agents { agents { } }", "model_repository_agents.agents[0].name"),
    ("input { data_type: TYPE_FP32 dims: [ 4 ] }", "input[0].name"),
    ('input { name: "I" dims: [ 4 ] }', "input[0].data_type"),
    ('input { name: "I" data_type: TYPE_FP32 }', "input[0].dims"),
    (inputs("0"), "input[0].dims[0]"),
    (inputs("2, -2"), "input[0].dims[1]"),
    (inputs("3, 4", "format: FORMAT_NCHW"), "input[0].format"),
    (inputs("4", "reshape { shape: [ 3 ] }"), "input[0].reshape"),
    (inputs("4", "reshape { shape: [ 0 ] }"), "input[0].reshape.shape[0]"),
    (inputs("2, 4, -1, 6", "reshape { shape: [ 4, -1, 2, 6 ] }"), "input[0].reshape"),
    (inputs("1", "reshape { }"), "input[0].reshape"),
    (inputs("4", "reshape { }") + " max_batch_size: 8", "input[0].reshape"),
    (f"{INPUT} {INPUT}", "input[1].name"),
    ("max_batch_size: -1", "max_batch_size"),
    ("max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 8 ] }", "dynamic_batching.preferred_batch_size[0]"),
    ("max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 0 ] }", "dynamic_batching.preferred_batch_size[0]"),
    ("dynamic_batching { preferred_batch_size: [ 1 ] }", "dynamic_batching.preferred_batch_size[0]"),
    ("instance_group { kind: KIND_CPU gpus: [ 0 ] }", "instance_group[0].gpus"),
    ("instance_group { count: -1 }", "instance_group[0].count"),
    ("version_policy { latest { num_versions: 0 } }", "version_policy.latest.num_versions"),
    ('output { name: "O" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "no.txt" }', "output[0].label_filename"),
    ('output { name: "O" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "../x" }', "output[0].label_filename"),
    ('default_model_filename: "../model.onnx"', "default_model_filename"),
    ('name: "other"', "name"),
]

UNSUPPORTED = [
    ("optimization { priority: PRIORITY_MAX }", "optimization.priority"),
    ("optimization { cuda { graphs: true } }", "optimization.cuda"),
    ("optimization { eager_batching: true }", "optimization.eager_batching"),
    (
        'optimization { execution_accelerators { cpu_execution_accelerator { name: "openvino" } } }',
        "optimization.execution_accelerators",
    ),
    (
        'optimization { execution_accelerators { gpu_execution_accelerator { name: "cuda" } } }',
        "optimization.execution_accelerators",
    ),
    ('instance_group { host_policy: "x" }', "instance_group[0].host_policy"),
    ("output [ { }, { is_shape_tensor: true } ]", "output[1].is_shape_tensor"),
    ('cc_model_filenames { key: "7.5" value: "x" }', "cc_model_filenames"),
    ('model_operations { op_library_filename: "x" }', "model_operations"),
    ('parameters { key: "TRITON_BATCH_STRATEGY_PATH" value { string_value: "x" } }', "TRITON_BATCH_STRATEGY_PATH"),
]

SUPPORTED = [
    "model_metrics { metric_control { } }",
    'model_repository_agents { agents { name: "checksum" } }',
    "input { allow_ragged_batch: true }",
    "batch_input { }",
    "batch_output { }",
    'instance_group [ { }, { rate_limiter { priority: 2 resources { name: "R" global: true count: 3 } } } ]',
    "response_cache { enable: false }",
    "model_transaction_policy { decoupled: true }",
    "sequence_batching { iterative_sequence: true }",
    "optimization { graph { level: 1 } input_pinned_memory { enable: false } }",
    "dynamic_batching { preserve_ordering: true max_queue_delay_microseconds: 5 default_queue_policy { } }",
    'parameters { key: "intra_op_thread_count" value { string_value: "2" } }',
    'metric_tags { key: "a" value: "b" }',
    "dynamic_batching { priority_levels: 2 default_priority_level: 1 }",
    "dynamic_batching { default_queue_policy { max_queue_size: 4 timeout_action: DELAY allow_timeout_override: true } }",
    "dynamic_batching { priority_queue_policy { key: 1 value { default_timeout_microseconds: 5 } } }",
    "version_policy { all { } }",
    "instance_group { kind: KIND_GPU count: 2 gpus: [ 0 ] }",
]


def parse(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder("model", tmp_path / "model")


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(folder: ModelFolder, text: str):
    assert config_problems(parse(text), folder) == []


@pytest.mark.parametrize(("text", "field"), REFUSED)
def test_refused(folder: ModelFolder, text: str, field: str):
    assert field in [problem.field for problem in config_problems(parse(text), folder)]


@pytest.mark.parametrize(("text", "field"), UNSUPPORTED)
def test_unsupported_fields_are_named_by_their_path(folder: ModelFolder, text: str, field: str):
    problems = unsupported_problems(parse(text), folder)
    assert len(problems) == 1
    assert field in problems[0].field
    assert "tcli does not support" in problems[0].expected


@pytest.mark.parametrize("text", SUPPORTED)
def test_supported_fields_and_defaults_are_not(folder: ModelFolder, text: str):
    assert unsupported_problems(parse(text), folder) == []


def test_fields_of_a_backend_are_supported_for_it_alone(folder: ModelFolder):
    config = parse(
        'optimization { priority: PRIORITY_MAX execution_accelerators { gpu_execution_accelerator { name: "cuda" } } }'
    )
    fields = ("optimization.execution_accelerators.gpu_execution_accelerator",)
    assert [problem.field for problem in unsupported_problems(config, folder, of_backend=fields)] == [
        "optimization.priority"
    ]


@pytest.mark.parametrize(("text", "field"), QUEUES)
def test_queue_policies(folder: ModelFolder, text: str, field: str | None):
    problems = config_problems(parse(f"max_batch_size: 8 dynamic_batching {{ {text} }}"), folder)
    assert [problem.field for problem in problems] == ([f"dynamic_batching.{field}"] if field else [])


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_leaves_the_folder_or_names_no_file_is_refused_wherever_it_stands(folder: ModelFolder, path: str):
    config = ModelConfig(default_model_filename=path, cc_model_filenames={"7.5": path})
    config.output.add(name="O", data_type="TYPE_FP32", dims=[1], label_filename=path)
    state = {"data_type": "TYPE_FP32", "dims": [1]}
    config.model_warmup.add().inputs["x"].MergeFrom(ModelWarmup.Input(input_data_file=path, **state))
    kept = config.sequence_batching.state.add(input_name="S", output_name="T", **state)
    kept.initial_state.add(name="first", data_file=path, **state)
    problems = config_problems(config, folder)
    assert {problem.field for problem in problems} == {
        "default_model_filename",
        'cc_model_filenames["7.5"]',
        "output[0].label_filename",
        'model_warmup[0].inputs["x"].value.input_data_file',
        "sequence_batching.state[0].initial_state[0].data_file",
    }
    assert all("inside the model's folder" in problem.expected for problem in problems)
    assert "\0" not in "".join(map(str, problems))


@pytest.mark.parametrize(
    "path", ["model.onnx", "a/b.onnx", "./model.onnx", "..model", "n" * 255, "n/" * 511 + "nn", "ä.onnx", "with space"]
)
def test_a_path_inside_the_folder_is_taken(folder: ModelFolder, path: str):
    assert config_problems(ModelConfig(default_model_filename=path), folder) == []


def test_a_label_file_that_is_no_file_is_told_as_what_it_is(folder: ModelFolder):
    folder.path.mkdir()
    (folder.path / "folder").mkdir()
    os.mkfifo(folder.path / "pipe")
    for name, what in (("folder", "a folder"), ("pipe", "a named pipe"), ("nope", "not in"), ("a/b", "not in")):
        config = ModelConfig()
        config.output.add(name="O", data_type="TYPE_FP32", dims=[1], label_filename=name)
        (problem,) = config_problems(config, folder)
        assert what in problem.found


@pytest.mark.parametrize(
    ("tag", "meant"),
    [("team-name", "team_name"), ("a b", "a_b"), ("_x", "x"), ("é", ""), ("a\n", "a"), ("a.b", "a_b"), ('"', "")],
)
def test_a_metric_tag_that_spoils_the_metrics_page_is_refused(folder: ModelFolder, tag: str, meant: str):
    (problem,) = config_problems(ModelConfig(metric_tags={tag: "x"}), folder)
    assert "Prometheus" in problem.expected
    assert problem.fix == (f'write key: "{meant}"' if meant else "write another key")


@pytest.mark.parametrize("tag", ["team", "Team_2", "1a"])
def test_a_metric_tag_that_is_a_label_is_taken(folder: ModelFolder, tag: str):
    assert config_problems(ModelConfig(metric_tags={tag: "any text, é"}), folder) == []


def test_a_metric_tag_that_would_become_another_one_is_not_renamed(folder: ModelFolder):
    (problem,) = config_problems(ModelConfig(metric_tags={"a-b": "x", "a_b": "y"}), folder)
    assert problem.fix == "write another key"


def test_a_wrong_batch_size_is_one_mistake(folder: ModelFolder):
    text = "max_batch_size: -1 dynamic_batching { preferred_batch_size: [ 4 ] }"
    assert [problem.field for problem in config_problems(parse(text), folder)] == ["max_batch_size"]


def test_wrong_dims_are_one_mistake(folder: ModelFolder):
    problems = config_problems(parse(inputs("0, 4", "reshape { shape: [ 4 ] }")), folder)
    assert [problem.field for problem in problems] == ["input[0].dims[0]"]
    (problem,) = config_problems(parse(inputs(", ".join(["2"] * 65))), folder)
    assert problem.field == "input[0].dims"
