"""`optimization.execution_accelerators`: what is refused, with which fix, and what reaches ONNX Runtime."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from google.protobuf import text_format
from onnx import TensorProto
from tritonclient.grpc.model_config_pb2 import ModelConfig

import onnx_models
from repositories import write_model
from tcli_server import Engine
from tcli_server.backends import Placement
from tcli_server.backends.onnxruntime import accelerators, cuda_options, openvino_options, tensorrt_options
from tcli_server.errors import InvalidArgumentError
from tcli_server.hardware.gpu import gpu_count
from tcli_server.models.check import check_repository
from tensorrt_plans import stand_ins

GPU, CPU = "gpu_execution_accelerator", "cpu_execution_accelerator"
HAS_OPENVINO = "OpenVINOExecutionProvider" in ort.get_available_providers()
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="the installed ONNX Runtime has no OpenVINO provider")


def accelerator(side: str, name: str, **parameters: str) -> str:
    lines = " ".join(f'parameters {{ key: "{key}" value: "{value}" }}' for key, value in parameters.items())
    return f'optimization {{ execution_accelerators {{ {side}: [ {{ name: "{name}" {lines} }} ] }} }}'


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def config(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


SHAPES = {"trt_profile_min_shapes": "X:1x3", "trt_profile_opt_shapes": "X:4x3", "trt_profile_max_shapes": "X:8x3"}

REFUSED = [
    (accelerator(GPU, "tensort"), "name", "unknown Execution Accelerator 'tensort'", 'write "tensorrt"'),
    (accelerator(GPU, "magic"), "name", "unknown Execution Accelerator 'magic'", "remove it"),
    (accelerator(GPU, "openvino"), "name", "'openvino'", f"move it to {CPU}"),
    (accelerator(CPU, "cuda"), "name", "'cuda'", f"move it to {GPU}"),
    (accelerator(GPU, "tensorrt", precision="FP16"), '["precision"]', "'precision'", 'write "precision_mode"'),
    (accelerator(GPU, "tensorrt", trt_max_workspace_size="1"), '["trt_max_workspace_size"]', "", '"max_workspace_size'),
    (accelerator(GPU, "tensorrt", precision_mode="FP8"), '["precision_mode"]', "'FP8'", 'write value: "FP32"'),
    (accelerator(GPU, "tensorrt", max_workspace_size_bytes="1GB"), "bytes", "'1GB'", 'write value: "1"'),
    (accelerator(GPU, "tensorrt", trt_engine_cache_path="/tmp/x"), "path", "'/tmp/x'", 'write value: ".cache"'),
    (accelerator(GPU, "tensorrt", trt_engine_cache_path="../x"), "path", "'../x'", 'write value: ".cache"'),
    (accelerator(GPU, "tensorrt", trt_extra_plugin_lib_paths="/lib/x.so"), "lib_paths", "'/lib/x.so'", "remove it"),
    (accelerator(GPU, "tensorrt", trt_dump_subgraphs="1"), "subgraphs", "'1'", 'write value: "false"'),
    (accelerator(GPU, "tensorrt", trt_tactic_sources="CUDNN"), "sources", "'CUDNN'", 'write value: "-CUDNN,+CUBLAS"'),
    (accelerator(GPU, "tensorrt", trt_auxiliary_streams="-2"), "streams", "'-2'", "write value"),
    (accelerator(GPU, "tensorrt", trt_profile_min_shapes="X:1x3"), "min_shapes", "no trt_profile_opt", "add trt_prof"),
    (accelerator(GPU, "tensorrt", **{**SHAPES, "trt_profile_opt_shapes": "X:9x3"}), "min_shapes", "1x3, 9x3", "correct"),
    (accelerator(GPU, "tensorrt", **{**SHAPES, "trt_profile_max_shapes": "Z:9x3"}), "min_shapes", "none", "correct"),
    (accelerator(GPU, "cuda", gpu_mem_limits="1"), '["gpu_mem_limits"]', "'gpu_mem_limits'", 'write "gpu_mem_limit"'),
    (accelerator(GPU, "cuda", gpu_mem_limit="0"), '["gpu_mem_limit"]', "'0'", "write value"),
    (accelerator(GPU, "cuda", cudnn_conv_algo_search="1"), "algo_search", "'1'", 'write value: "EXHAUSTIVE"'),
    (accelerator(GPU, "cuda", user_compute_stream="140"), "stream", "'user_compute_stream'", "remove it"),
    (parameter("cudnn_conv_algo_search", "3"), 'parameters["cudnn_conv_algo_search"]', "'3'", 'string_value: "0"'),
    (
        accelerator(GPU, "cuda", gpu_mem_limit="9") + parameter("gpu_mem_limit", "8"),
        'parameters["gpu_mem_limit"]',
        "'8' beside '9'",
        "remove it",
    ),
    (f'optimization {{ execution_accelerators {{ {GPU}: [ {{ name: "cuda" }}, {{ name: "cuda" }} ] }} }}',
     f"{GPU}[1].name", "'cuda' again", "remove it"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "field", "found", "fix"), REFUSED)
def test_what_is_not_known_or_does_not_fit_is_refused_with_a_suggestion(
    tmp_path: Path, text: str, field: str, found: str, fix: str
):
    write_model(tmp_path, "m", onnx_models.identity(), text)
    (problem,) = check_repository(tmp_path)
    assert problem.field.endswith(field) or f'{field}"]' in problem.field
    assert found in problem.found
    assert fix in problem.fix
    with Engine(tmp_path) as engine:
        (row,) = engine.repository_index().models
        assert row.state != "READY"
        assert problem.field in row.reason


@pytest.mark.skipif(HAS_OPENVINO, reason="the installed ONNX Runtime has the provider")
def test_a_provider_that_is_not_in_the_installed_build_is_named_with_what_brings_it(tmp_path: Path):
    write_model(tmp_path, "m", onnx_models.identity(), accelerator(CPU, "openvino"))
    (problem,) = check_repository(tmp_path)
    assert problem.field == f"optimization.execution_accelerators.{CPU}[0].name"
    assert (
        problem.found
        == f"'openvino', but the installed ONNX Runtime {ort.__version__} has no OpenVINOExecutionProvider"
    )
    assert "CPUExecutionProvider" in problem.expected
    assert "pip install onnxruntime-openvino" in problem.fix
    with Engine(tmp_path) as engine:
        (row,) = engine.repository_index().models
        assert row.state != "READY"
        assert "pip install onnxruntime-openvino" in row.reason


@pytest.mark.skipif(gpu_count() > 0, reason="for machines without a GPU")
@pytest.mark.parametrize("text", [
    accelerator(GPU, "tensorrt", precision_mode="FP16", trt_engine_cache_enable="1", trt_engine_cache_path=".trt"),
    accelerator(GPU, "tensorrt", **SHAPES),
    accelerator(GPU, "cuda", cudnn_conv_use_max_workspace="0", use_ep_level_unified_stream="1"),
])  # fmt: skip
def test_where_no_gpu_is_an_accelerator_for_gpus_is_left_out_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
):
    folder = write_model(tmp_path, "m", onnx_models.identity(), text)
    assert check_repository(tmp_path) == []
    caplog.clear()
    with caplog.at_level(logging.WARNING), Engine(tmp_path) as engine:
        given = np.ones((2, 4), np.float32)
        assert engine.infer("m", {"INPUT0": given}).outputs["OUTPUT0"].tolist() == given.tolist()
    told = [record.getMessage() for record in caplog.records if "runs on the CPU" in record.getMessage()]
    assert len(told) == 1
    assert "accelerator" in told[0]
    assert not (folder / ".trt").exists()


HAS_CUDA = "CUDAExecutionProvider" in ort.get_available_providers()


@pytest.mark.skipif(gpu_count() > 0, reason="the libraries may be here, too")
def test_a_gpu_without_the_libraries_for_it_is_an_error_and_not_the_cpu(tmp_path: Path):
    """There is no GPU here either, of which only NVML's stand-in does not know."""
    on_gpu = "instance_group { kind: KIND_GPU } "
    write_model(tmp_path, "asked", onnx_models.identity(), on_gpu)
    write_model(tmp_path, "by_tensorrt", onnx_models.identity(), on_gpu + accelerator(GPU, "tensorrt"))
    write_model(tmp_path, "left_open", onnx_models.identity())
    command = [sys.executable, "-m", "triton_cli", "repo", "check", "--json", "--model-repository", str(tmp_path)]
    with stand_ins():
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = json.loads(result.stdout)["problems"]
    models = {Path(problem["file"]).relative_to(tmp_path).parts[0] for problem in found}
    assert models == {"asked", "by_tensorrt"}
    expected = 'pip install "tcli[cuda' if HAS_CUDA else "pip install onnxruntime-gpu"
    for problem in found:
        assert "CUDAExecutionProvider" in problem["found"] or "TensorrtExecutionProvider" in problem["found"]
        assert expected in problem["fix"]


# --- what reaches ONNX Runtime ---


def test_names_of_triton_become_those_of_the_tensorrt_provider(tmp_path: Path):
    given = {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": "1073741824",
        "int8_use_native_calibration_table": "0",
        "trt_engine_cache_enable": "1",
        "trt_timing_cache_enable": "false",
        "trt_builder_optimization_level": "5",
        "trt_dump_subgraphs": "0",
        "trt_extra_plugin_lib_paths": "",
    }
    assert tensorrt_options.options(given, tmp_path, 1) == {
        "device_id": "1",
        "trt_fp16_enable": "True",
        "trt_max_workspace_size": "1073741824",
        "trt_int8_use_native_calibration_table": "False",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(tmp_path / ".tensorrt"),
        "trt_timing_cache_enable": "False",
        "trt_builder_optimization_level": "5",
    }
    assert (tmp_path / ".tensorrt").is_dir()


@pytest.mark.parametrize(("mode", "option"), [("BF16", "trt_bf16_enable"), ("INT8", "trt_int8_enable"), ("FP32", "")])
def test_a_precision_is_one_switch(tmp_path: Path, mode: str, option: str):
    assert set(tensorrt_options.options({"precision_mode": mode}, tmp_path, 0)) == {"device_id", option} - {""}


def test_a_cache_that_somebody_put_elsewhere_is_not_written(tmp_path: Path):
    (tmp_path / ".trt").symlink_to(tmp_path.parent)
    with pytest.raises(InvalidArgumentError, match=r"\.trt is a link"):
        tensorrt_options.options({"trt_engine_cache_path": ".trt"}, tmp_path, 0)


def test_parameters_of_the_model_are_options_of_the_cuda_provider_too():
    text = parameter("cudnn_conv_algo_search", "1") + parameter("arena_extend_strategy", "1")
    text += parameter("gpu_mem_limit", "18446744073709551615") + parameter("do_copy_in_default_stream", "true")
    assert cuda_options.options({"use_tf32": "false"}, config(text), 2) == {
        "device_id": "2",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "gpu_mem_limit": "18446744073709551615",
        "do_copy_in_default_stream": "1",
        "use_tf32": "0",
    }


def test_providers_come_in_tritons_order(tmp_path: Path):
    text = f'optimization {{ execution_accelerators {{ {GPU}: [ {{ name: "cuda" }}, {{ name: "tensorrt" }} ] }} }}'
    on_gpu = accelerators.providers(config(text), Placement("m_0", 0, 1), tmp_path)
    here = ort.get_available_providers()
    wanted = ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    assert [kind.provider for kind, _ in on_gpu] == [name for name in wanted if name in here]
    assert accelerators.providers(config(text), Placement("m_0", None, 1), tmp_path) == []


def test_bfloat16_is_asked_of_openvino_itself(tmp_path: Path):
    assert openvino_options.options({"precision": "BF16"}, tmp_path, 3) == {
        "device_type": "CPU",
        "num_of_threads": "3",
        "load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}}',
    }


# --- the OpenVINO provider, which runs on a CPU ---


@needs_openvino
@pytest.mark.parametrize(("parameters", "tolerance"), [
    ({}, 1e-5),
    ({"num_of_threads": "1", "num_streams": "1"}, 1e-5),
    ({"precision": "ACCURACY", "model_priority": "HIGH"}, 1e-5),
    ({"precision": "BF16"}, 2e-2),
    ({"cache_dir": ".openvino", "disable_dynamic_shapes": "true"}, 1e-5),
])  # fmt: skip
def test_the_openvino_provider_answers_what_the_cpu_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, parameters: dict[str, str], tolerance: float
):
    random = np.random.default_rng(7)
    model = onnx_models.product(random.normal(size=(16, 8)).astype(np.float32))
    write_model(tmp_path, "cpu", model, "max_batch_size: 8")
    folder = write_model(tmp_path, "openvino", model, "max_batch_size: 8 " + accelerator(CPU, "openvino", **parameters))
    assert check_repository(tmp_path) == []
    with caplog.at_level(logging.INFO), Engine(tmp_path) as engine:
        for rows in (1, 8, 3):
            given = {"INPUT0": random.normal(size=(rows, 16)).astype(np.float32)}
            expected = engine.infer("cpu", given).outputs["OUTPUT0"]
            answer = engine.infer("openvino", given).outputs["OUTPUT0"]
            assert np.abs(answer - expected).max() <= tolerance * np.abs(expected).max()
    told = [record.getMessage() for record in caplog.records if "OpenVINOExecutionProvider" in record.getMessage()]
    assert len(told) == 1
    assert "0 by CPUExecutionProvider" in told[0]
    assert (folder / ".openvino").is_dir() == ("cache_dir" in parameters)


@needs_openvino
def test_a_device_that_openvino_does_not_find_is_an_error_and_not_the_cpu(tmp_path: Path):
    write_model(tmp_path, "m", onnx_models.identity(), accelerator(CPU, "openvino", device_type="NPU"))
    (problem,) = check_repository(tmp_path)
    assert "OpenVINOExecutionProvider is asked for, but could not start" in problem.found
    assert "device_type" in problem.fix


@needs_openvino
def test_a_precision_that_openvino_has_not_on_a_cpu_is_refused(tmp_path: Path):
    write_model(tmp_path, "m", onnx_models.identity(), accelerator(CPU, "openvino", precision="FP16"))
    (problem,) = check_repository(tmp_path)
    assert problem.field.endswith('parameters["precision"]')
    assert "BF16" in problem.fix


@needs_openvino
def test_what_the_accelerator_does_not_run_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_model(tmp_path, "m", onnx_models.identity(TensorProto.STRING), accelerator(CPU, "openvino"))
    with caplog.at_level(logging.WARNING), Engine(tmp_path):
        pass
    assert any("nothing for the accelerator" in record.getMessage() for record in caplog.records)
