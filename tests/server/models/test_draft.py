"""`Draft`: what loading and `tcli repo check` judge a configuration by, before the model is opened."""

import importlib.util
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

import onnx_models
from repositories import write_model
from tcli_server.errors import InvalidArgumentError
from tcli_server.hardware.cores import usable_cores
from tcli_server.models.draft import Draft, check_settings
from tcli_server.repository import ModelFolder

TENSORS = """
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] }, { name: "INPUT1" data_type: TYPE_FP32 dims: [ 16 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] }, { name: "OUTPUT1" data_type: TYPE_FP32 dims: [ 16 ] } ]
"""


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def draft(repository: Path, config: str) -> Draft:
    folder = write_model(repository, "m", onnx_models.add_sub(), config)
    return Draft(ModelFolder("m", folder))


@pytest.mark.parametrize(("config", "field", "words"), [
    ('backend: "dali"', "backend", "tcli does not support"),
    ('platform: "tensorrt_plan" backend: "onnxruntime"', "platform", "'onnxruntime_onnx'"),
    ('platform: "nonsense"', "platform", "'onnxruntime_onnx'"),
    ('default_model_filename: "model.foo"', "default_model_filename", "'model.onnx'"),
    ('optimization { execution_accelerators { gpu_execution_accelerator { name: "tensort" } } }',
     "optimization.execution_accelerators.gpu_execution_accelerator[0].name", "tensorrt or cuda"),
    (parameter("intra_op_thread_count", "many"), 'parameters["intra_op_thread_count"]', "a whole number"),
    (parameter("intra_op_thread_count", "-1"), 'parameters["intra_op_thread_count"]', "a whole number"),
    (parameter("intra_op_thread_count", "9" * 5000), 'parameters["intra_op_thread_count"]', "a whole number"),
    (parameter("enable_mem_arena", "yes"), 'parameters["enable_mem_arena"]', "0 or 1"),
    (parameter("session.model_external_initializers_file_folder_path", "/etc"),
     'parameters["session.model_external_initializers_file_folder_path"]', "outside of the model's folder"),
    (parameter("session.anything_else", "1"), 'parameters["session.anything_else"]', "outside of the model's folder"),
    ("instance_group { kind: KIND_CPU count: 2000 }", "instance_group", "at most"),
    ("instance_group { kind: KIND_CPU count: 60 }" + parameter("intra_op_thread_count", "60"), "parameters", "at most"),
    (parameter("intra_op_thread_count", "3000"), "parameters", "at most"),
    ("version_policy { specific { versions: [ 7 ] } }", "", "at least one version"),
])  # fmt: skip
def test_what_this_server_or_machine_cannot_do_is_refused(tmp_path: Path, config: str, field: str, words: str):
    (problem,) = draft(tmp_path, config).problems
    assert problem.field == field
    assert words in problem.expected
    assert problem.fix


@pytest.mark.parametrize("config", [
    "",
    'platform: "onnxruntime_onnx"',
    parameter("session.intra_op.allow_spinning", "0"),
    "instance_group { kind: KIND_CPU count: 4 }",
])  # fmt: skip
def test_what_can_be_served_has_no_problem(tmp_path: Path, config: str):
    found = draft(tmp_path, config)
    assert found.problems == []
    assert found.versions == [1]
    assert found.placements


def test_a_configuration_that_came_with_a_request_is_not_blamed_on_the_file(tmp_path: Path):
    folder = write_model(tmp_path, "m", onnx_models.add_sub(), 'backend: "onnxruntime"')
    override = text_format.Parse('max_batch_size: -1 backend: "onnxruntime"', ModelConfig())
    (problem,) = Draft(ModelFolder("m", folder), override).problems
    assert str(problem).startswith("in the parameter 'config': max_batch_size: found -1")


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
@pytest.mark.parametrize("text", ['backend: "tensorrt"', 'platform: "tensorrt_plan"'])
def test_a_backend_whose_framework_is_missing_is_named_with_what_brings_it(tmp_path: Path, text: str):
    (problem,) = draft(tmp_path, text).problems
    assert problem.field == text.partition(":")[0]
    assert "what is installed" in problem.expected
    assert problem.fix == 'pip install "tcli[tensorrt]"'


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_a_model_of_another_backend_is_named_by_its_file(tmp_path: Path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.plan").write_bytes(b"PK")
    (problem,) = Draft(ModelFolder("m", tmp_path / "m")).problems
    assert "model.plan" in problem.found
    assert "'tensorrt'" in problem.found
    assert problem.fix == 'pip install "tcli[tensorrt]"'


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "²", "9" * 5000, ""])
def test_a_default_batch_size_that_is_no_number_is_refused(value: str):
    with pytest.raises(InvalidArgumentError, match="expected a whole number"):
        check_settings({"onnxruntime": {"default-max-batch-size": value}})


def test_as_many_instances_as_the_machine_allows_and_not_one_more(tmp_path: Path):
    most = max(64, 16 * usable_cores())
    threads = parameter("intra_op_thread_count", "1")
    found = draft(tmp_path, f"instance_group {{ kind: KIND_CPU count: {most} }} {threads}")
    assert found.problems == []
    assert [place.name for place in found.placements] == [f"m_0_{index}" for index in range(most)]
    (problem,) = draft(tmp_path, f"instance_group {{ kind: KIND_CPU count: {most + 1} }} {threads}").problems
    assert problem.found == f"{most + 1} instances"


def test_as_many_threads_as_the_machine_allows_and_not_one_more(tmp_path: Path):
    most = max(512, 64 * usable_cores())
    assert (
        draft(tmp_path, parameter("intra_op_thread_count", str(most - 1))).problems == []
    )  # and one between operators
    (problem,) = draft(tmp_path, parameter("intra_op_thread_count", str(most))).problems
    assert problem.found == f"{most + 1} threads for 1 instances"


def test_a_field_that_is_not_in_the_file_is_told_at_its_first_line(tmp_path: Path):
    assert draft(tmp_path, 'backend: "onnxruntime"\nmax_batch_size: 8').line("instance_group") == 1
    assert draft(tmp_path, 'backend: "onnxruntime"\nmax_batch_size: 8').line("max_batch_size") == 2
    (tmp_path / "m" / "config.pbtxt").unlink()
    assert Draft(ModelFolder("m", tmp_path / "m")).line("max_batch_size") is None


def test_a_folder_that_is_gone_is_told(tmp_path: Path):
    gone = Draft(ModelFolder("m", tmp_path / "m"))
    assert (gone.backend, gone.versions, gone.placements) == (None, [], [])
    (problem,) = gone.problems
    assert "cannot be read: No such file or directory" in problem.found
