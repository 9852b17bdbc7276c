"""Parameters of OpenVINO models: Triton's and OpenVINO's own."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tcli_server import Engine, EngineOptions
from tcli_server.models.check import check_repository

pytest.importorskip("openvino")

import openvino as ov

from openvino_models import own_answers, product, save
from waiting import until

POLL = EngineOptions(model_control_mode="poll", repository_poll_secs=0.02)


def parameters(**values: str) -> str:
    return "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n' for key, value in values.items()
    )


def check(tmp_path: Path, config: str) -> list:
    save(product(), tmp_path, "m", config)
    return check_repository(tmp_path)


GOOD = {
    "PERFORMANCE_HINT": ["LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT"],
    "INFERENCE_NUM_THREADS": ["1", "2"],
    "COMPILATION_NUM_THREADS": ["2"],
    "NUM_STREAMS": ["AUTO", "NUMA", "1", "2"],
    "HINT_BF16": ["YES", "NO"],
    "SKIP_OV_DYNAMIC_BATCHSIZE": ["YES"],
    "ENABLE_BATCH_PADDING": ["NO", "yes"],
    "TARGET_DEVICE": ["CPU", "cpu", "AUTO"],
    "INFERENCE_PRECISION_HINT": ["f32", "bf16", "f16"],
    "EXECUTION_MODE_HINT": ["ACCURACY", "PERFORMANCE"],
    "PERFORMANCE_HINT_NUM_REQUESTS": ["2"],
    "ENABLE_CPU_PINNING": ["YES"],
    "ENABLE_HYPER_THREADING": ["false"],
    "ENABLE_TENSOR_PARALLEL": ["NO"],
    "SCHEDULING_CORE_TYPE": ["ANY_CORE"],
    "MODEL_DISTRIBUTION_POLICY": ["TENSOR_PARALLEL"],
    "CPU_DENORMALS_OPTIMIZATION": ["NO"],
    "CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": ["0.5", "1"],
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": ["32"],
    "KV_CACHE_PRECISION": ["u8"],
    "CACHE_DIR": [".cache"],
    "CACHE_MODE": ["OPTIMIZE_SIZE"],
    "ENABLE_MMAP": ["YES"],
    "tcli_placeholder": ["anything"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in GOOD.items() for value in values])
def test_what_is_known_is_taken(tmp_path: Path, key: str, value: str):
    assert check(tmp_path, parameters(**{key: value})) == []
    assert np.array([1e-310])[0] * np.float64(0.5) > 0  # no model changes what the processor does for the others


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("PERFORMANCE_HINT", "FAST", "LATENCY or THROUGHPUT or CUMULATIVE_THROUGHPUT"),
        ("INFERENCE_NUM_THREADS", "0", "a whole number of threads, at least 1"),
        ("NUM_STREAMS", "many", "AUTO, NUMA or a whole number of at least 1"),
        ("HINT_BF16", "maybe", "YES or NO"),
        ("INFERENCE_PRECISION_HINT", "i4", "f32 or bf16 or f16"),
        ("TARGET_DEVICE", "TPU", "a device that OpenVINO finds here: CPU, AUTO"),
        ("CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE", "2", "a number from 0 to 1"),
        ("CPU_EXTENSION_PATH", "/tmp/x.so", "no library of operators"),
        ("CPU_DENORMALS_OPTIMIZATION", "YES", "NO: OpenVINO would switch it in threads of the server"),
        ("CACHE_DIR", "/tmp/cache", "the name of a folder inside of the model's that starts with a dot"),
        ("CACHE_DIR", "../cache", "the name of a folder inside of the model's that starts with a dot"),
        ("CACHE_DIR", "..", "the name of a folder inside of the model's that starts with a dot"),
        ("CACHE_DIR", ".a/../..", "the name of a folder inside of the model's that starts with a dot"),
        ("CACHE_DIR", "cache", "the name of a folder inside of the model's that starts with a dot"),
    ],
)
def test_values_that_are_none_are_refused(tmp_path: Path, key: str, value: str, expected: str):
    (problem,) = check(tmp_path, parameters(**{key: value}))
    assert problem.field == f'parameters["{key}"]'
    assert problem.expected.startswith(expected)


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("INFERENCE_PRECISION", 'write "INFERENCE_PRECISION_HINT", or remove it'),
        ("num_stream", 'write "NUM_STREAMS", or remove it'),
        ("RESHAPE_IO_LAYOUTS", 'write "RESHAPE_IO_LAYERS", or remove it'),
        ("WEIGHTS_PATH", "remove it"),
    ],
)
def test_names_that_are_none_are_refused_with_what_may_be_meant(tmp_path: Path, key: str, fix: str):
    (problem,) = check(tmp_path, parameters(**{key: "1"}))
    assert (problem.found, problem.fix) == (f"'{key}'", fix)


def test_two_precisions_contradict_each_other(tmp_path: Path):
    (problem,) = check(tmp_path, parameters(HINT_BF16="YES", INFERENCE_PRECISION_HINT="f32"))
    assert problem.expected == "one precision"


@pytest.mark.parametrize("kind", ["KIND_GPU", "KIND_MODEL"])
def test_other_kinds_of_instances_are_refused(tmp_path: Path, kind: str):
    problems = check(tmp_path, f"instance_group {{ kind: {kind} }}")
    assert problems[0].field == "instance_group[0].kind"
    assert problems[0].expected.startswith("KIND_CPU or KIND_AUTO")


def infer(engine: Engine, x: np.ndarray) -> np.ndarray:
    return engine.infer("m", {"X": x}).outputs["Y"]


@pytest.mark.parametrize("asked", [{"INFERENCE_PRECISION_HINT": "f32"}, {"EXECUTION_MODE_HINT": "ACCURACY"}])
def test_full_precision_is_exact(tmp_path: Path, asked: dict[str, str]):
    folder = save(product(), tmp_path, "m", parameters(**asked))
    x = np.random.default_rng(3).random((4, 16), np.float32)
    (own,) = own_answers(folder / "1" / "model.xml", {"X": x}, {"INFERENCE_PRECISION_HINT": "f32"})
    with Engine(tmp_path) as engine:
        assert np.allclose(infer(engine, x), own, rtol=1e-6)


def test_both_names_of_bfloat16_give_openvinos_answers_in_it(tmp_path: Path):
    x = np.random.default_rng(3).random((4, 16), np.float32)
    for index, asked in enumerate(({"HINT_BF16": "YES"}, {"INFERENCE_PRECISION_HINT": "bf16"})):
        folder = save(product(), tmp_path / str(index), "m", parameters(**asked))
        (own,) = own_answers(folder / "1" / "model.xml", {"X": x}, {"INFERENCE_PRECISION_HINT": "bf16"})
        with Engine(tmp_path / str(index)) as engine:
            assert np.array_equal(infer(engine, x), own)


def test_a_precision_that_the_machine_chose_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    compiled = ov.Core().compile_model(product(), "CPU")
    chosen = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    save(product(), tmp_path, "m")
    with caplog.at_level(logging.INFO), Engine(tmp_path):
        pass
    assert (f"'m' is computed in {chosen}" in caplog.text) == (chosen != "f32")


def test_a_compiled_model_is_kept_in_the_models_folder_and_is_no_change_of_it(tmp_path: Path):
    folder = save(product(), tmp_path, "m", parameters(CACHE_DIR=".cache"))
    x = np.random.default_rng(3).random((4, 16), np.float32)
    answers = []
    for _ in range(2):
        with Engine(tmp_path, options=POLL) as engine:
            first = engine.model("m")
            answers.append(infer(engine, x))
            late = f"late{len(answers)}"
            save(product(), tmp_path, late)
            until(partial(engine.model_ready, late))  # so it has looked
            assert engine.model("m") is first
            blobs = list((folder / ".cache").glob("*.blob"))
            assert len(blobs) == 1
    assert np.array_equal(*answers)
    blobs[0].write_bytes(b"nonsense")
    with Engine(tmp_path) as engine:
        assert np.array_equal(infer(engine, x), answers[0])


def test_a_cache_that_lies_elsewhere_is_refused(tmp_path: Path):
    folder = save(product(), tmp_path / "models", "m", parameters(CACHE_DIR=".cache"))
    (tmp_path / "elsewhere").mkdir()
    (folder / ".cache").symlink_to(tmp_path / "elsewhere")
    (problem,) = check_repository(tmp_path / "models")
    assert ".cache is a link" in str(problem)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_inputs_take_the_shapes_of_the_configuration(tmp_path: Path):
    config = """
    input { name: "X" data_type: TYPE_FP32 dims: [ -1, 16 ] }
    output { name: "Y" data_type: TYPE_FP32 dims: [ -1, 8 ] }
    """
    save(product((1, 16)), tmp_path, "m", config + parameters(RESHAPE_IO_LAYERS="YES"))
    with Engine(tmp_path) as engine:
        assert infer(engine, np.ones((7, 16), np.float32)).shape == (7, 8)


def test_shapes_that_the_model_cannot_take_are_refused(tmp_path: Path):
    config = 'input { name: "X" data_type: TYPE_FP32 dims: [ -1, 17 ] }'
    (problem,) = check(tmp_path, config + parameters(RESHAPE_IO_LAYERS="YES"))
    assert "cannot take inputs of the shapes 'X' [-1, 17]" in str(problem)
