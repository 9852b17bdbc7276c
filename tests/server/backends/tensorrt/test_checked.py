"""What `tcli repo check` and loading refuse of TensorRT models, with the fix, on a machine with a (stand-in for a) GPU and without."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serve_command import serving
from tcli_server.hardware.gpu import gpu_count
from tensorrt_plans import VERSION, add_sub, plan, stand_ins, tensor, write_plan

PATIENCE = 60


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def tcli(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triton_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def problems(repository: Path) -> list[dict]:
    found: list[dict] = json.loads(tcli("repo", "check", "--model-repository", repository, "--json").stdout)["problems"]
    return found


LAID_OUT = plan([tensor("X", (1, 4), format="CHW32"), tensor("Y", (1, 4))], {"Y": "X"})
OF_EIGHT_BITS = plan([tensor("X", (1, 4), "FP8"), tensor("Y", (1, 4))], {"Y": "X"})

REFUSED = {
    "parameter": (add_sub(), parameter("execution_context_allocation_strategi", "STATIC"), "execution_context_alloc",
                  'write "execution_context_allocation_strategy"'),
    "value": (add_sub(), parameter("execution_context_allocation_strategy", "static"), "'static'", '"STATIC"'),
    "multi_device": (add_sub(), parameter("enable_multi_device", "true"), "'true'", '"false"'),
    "on_cpu": (add_sub(), "instance_group { kind: KIND_CPU }", "KIND_CPU", "write kind: KIND_GPU"),
    "by_model": (add_sub(), "instance_group { kind: KIND_MODEL }", "KIND_MODEL", "write kind: KIND_GPU"),
    "profile_name": (add_sub(), 'instance_group { profile: "fast" }', "'fast'", 'write profile: [ "0" ]'),
    "no_profile": (add_sub(), 'instance_group { profile: "3" }', "found '3'", "write one of these"),
    "no_core": (add_sub(), "instance_group { secondary_devices { kind: KIND_NVDLA device_id: 2 } }",
                "DLA Core ID: 2, available number of DLA cores: 2", "name one that is there"),
    "two_cores": (add_sub(), "instance_group { secondary_devices { } secondary_devices { } }", "2 devices", "remove"),
    "too_large": (add_sub(), "max_batch_size: 16", "16", "write max_batch_size: 8"),
    "other_dims": (add_sub(), 'max_batch_size: 8 input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 8 ] }, '
                   '{ name: "INPUT1" data_type: TYPE_FP32 dims: [ 16 ] } ]', "[8]", ""),
    "fixed": (add_sub(4), "max_batch_size: 5", "5", "write max_batch_size: 4"),
    "version": (add_sub(version="9.3.0"), None, f"expecting library version {VERSION} got 9.3.0", "trtexec"),
    "no_plan": (b"PK\3\4", None, r"no TensorRT plan (it starts with b'PK\x03\x04')", "trtexec"),
    "laid_out": (LAID_OUT, None, "one whose 'X' is laid out as Thirty-two wide channel", "--inputIOFormats"),
    "eight_bits": (OF_EIGHT_BITS, None, "one whose 'X' is FP8", "FP32 or FP16"),
    "no_shape": (add_sub(), 'max_batch_size: 0 input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1, 16 ] '
                 'is_shape_tensor: true }, { name: "INPUT1" data_type: TYPE_FP32 dims: [ -1, 16 ] } ]',
                 "'INPUT0' is incorrectly specified as a shape tensor", "remove is_shape_tensor"),
    "shape_in_batch": (add_sub(), 'max_batch_size: 4 output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] '
                       "is_shape_tensor: true }", "true with max_batch_size: 4", "write max_batch_size: 0"),
    "graphs": (add_sub(), "optimization { cuda { graphs: true } }", "a setting", "remove it"),
}  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    for name, (content, config, _, _) in REFUSED.items():
        write_plan(models, name, content, config)
    return models


@pytest.fixture(scope="module")
def told(repository: Path) -> list[dict]:
    with stand_ins():
        return problems(repository)


@pytest.fixture(scope="module")
def reasons(repository: Path) -> dict[str, str]:
    """What a server says of its models, none of which it loads."""
    with stand_ins(), serving("--model-repository", repository, "--exit-on-error=false") as server:
        import tritonclient.http as triton_http

        with triton_http.InferenceServerClient(server.url("HTTP")) as client:
            rows = client.get_model_repository_index()
    return {row["name"]: row["reason"] for row in rows}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused_once_with_its_fix(name: str, told: list[dict], reasons: dict[str, str]):
    _, _, found, fix = REFUSED[name]
    (problem,) = [one for one in told if f"/{name}/" in one["file"]]
    assert found in problem["found"]
    assert fix in problem["fix"] + problem["found"]
    assert found in reasons[name]


def test_more_memory_than_the_gpu_has_is_a_load_error(tmp_path: Path):
    write_plan(tmp_path, "m", add_sub(most=1 << 20))
    with stand_ins(STAND_IN_GPU_MEMORY="1000000"):
        (problem,) = problems(tmp_path)
    assert "CUDA: cudaMalloc failed: out of memory (cudaErrorMemoryAllocation)" in problem["found"]


@pytest.mark.parametrize(("setting", "version", "words"), [
    ("version-compatible=true", "9.3.0", ""),
    ("version-compatible=yes", VERSION, "expected true or false"),
    ("plugins=/opt/a.so;/opt/b.so", VERSION, ""),
    ("plugins=/opt/a.txt", VERSION, "TensorRT cannot load it"),
    ("execution-policy=BLOCKING", VERSION, ""),
])  # fmt: skip
def test_settings_of_the_backend(tmp_path: Path, setting: str, version: str, words: str):
    import tritonclient.http as triton_http

    write_plan(tmp_path, "m", add_sub(version=version))
    options = ("--model-repository", tmp_path, "--exit-on-error=false", f"--backend-config=tensorrt,{setting}")
    with stand_ins(), serving(*options) as server, triton_http.InferenceServerClient(server.url("HTTP")) as client:
        (row,) = client.get_model_repository_index()
    assert row["state"] == ("UNAVAILABLE" if words else "READY")
    assert words in row.get("reason", "")


def test_a_model_is_loaded_and_unloaded_again_and_again(tmp_path: Path):
    """The stand-in has memory for one instance, and wants all streams to be done and all memory back."""
    import tritonclient.http as triton_http

    write_plan(tmp_path, "m", add_sub(most=100))
    options = ("--model-repository", tmp_path, "--model-control-mode=explicit")
    with (
        stand_ins(STAND_IN_GPU_MEMORY="30000"),
        serving(*options) as server,
        triton_http.InferenceServerClient(server.url("HTTP")) as client,
    ):
        for _ in range(5):
            client.load_model("m")
            assert client.is_model_ready("m")
            client.unload_model("m")


def test_the_backends_list_says_what_it_runs_on():
    with stand_ins():
        listed = json.loads(tcli("backends", "--json").stdout)
    (row,) = [one for one in listed if one["name"] == "tensorrt"]
    assert row["devices"] == ["GPU"]
    assert row["install"] == row["problem"] == ""


@pytest.mark.skipif(gpu_count() > 0, reason="for machines without a GPU")
def test_without_a_gpu_that_is_the_one_thing_that_is_said(tmp_path: Path):
    for name, config in (("plain", None), ("asked", "instance_group { kind: KIND_GPU }")):
        write_plan(tmp_path, name, add_sub(), config)
    with stand_ins(STAND_IN_GPUS="0"):
        found = problems(tmp_path)
    assert [Path(one["file"]).parent.name for one in found] == ["asked", "plain"]
    assert "this machine has no NVIDIA GPU" in found[0]["found"]
    assert "without an NVIDIA GPU" in found[1]["found"]
    assert found[1]["expected"] == "KIND_GPU: models of the backend 'tensorrt' run on GPUs only"
