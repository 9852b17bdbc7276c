"""What configurations say, in the words of each engine; read, written, and loaded by the engines themselves."""

import logging

import numpy as np
import pytest
from google.protobuf import text_format

import onnx_models
from repositories import write_model
from spaces import config
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.space import Settings, Space, facts_here, find_engines, make_variants, read_settings
from tcli_analyzer.space.settings import write_settings
from tcli_server import Engine, EngineOptions
from tcli_server.repository import read_config


@pytest.mark.parametrize(
    "settings",
    [
        Settings(engine="onnxruntime", provider="cpu"),
        Settings(500, (2, 4), 3, "onnxruntime", "cpu", "", -1),
        Settings(threads=2, engine="onnxruntime", provider="openvino", precision="bf16", graph_level=2),
        Settings(engine="onnxruntime", provider="cuda", graph_level=1),
        Settings(engine="onnxruntime", provider="tensorrt", precision="f16"),
        Settings(100, (8,), 1, "openvino", "cpu", "bf16"),
        Settings(engine="openvino", provider="cpu", precision="f32"),
        Settings(threads=4, engine="pytorch", provider="cuda"),
        Settings(threads=4, engine="tensorflow", provider="cpu"),
    ],
)
def test_what_is_written_is_read_and_can_be_taken_back(settings: Settings):
    base = config()
    written = write_settings(base, settings, "model.onnx")
    assert read_settings(written) == settings
    assert write_settings(written, settings, "model.onnx") == written
    back = write_settings(written, read_settings(base), "model.onnx")
    back.ClearField("default_model_filename")
    assert back == base


def test_what_an_engine_does_not_read_is_not_written():
    wanted = Settings(threads=4, engine="python", graph_level=2, precision="bf16")
    written = write_settings(config(), wanted, "model.py")
    assert not written.parameters
    assert not written.HasField("optimization")


def test_another_engine_keeps_nothing_that_only_the_old_one_reads():
    base = config()
    base.ClearField("backend")
    base.platform = "onnxruntime_onnx"
    base.parameters["execution_mode"].string_value = "1"
    base.parameters["tcli_image_scaling"].string_value = "INCEPTION"
    base.optimization.graph.level = 1
    base.optimization.execution_accelerators.cpu_execution_accelerator.add(name="openvino")
    base.instance_group[0].profile.append("0")
    written = write_settings(base, Settings(threads=2, engine="openvino", provider="cpu"), "model.onnx")
    assert written == text_format.Parse(
        """
        name: "m" backend: "openvino" default_model_filename: "model.onnx" max_batch_size: 8 dynamic_batching {}
        input { name: "x" data_type: TYPE_FP32 dims: 16 } output { name: "y" data_type: TYPE_FP32 dims: 16 }
        instance_group { count: 1 kind: KIND_CPU }
        parameters { key: "tcli_image_scaling" value { string_value: "INCEPTION" } }
        parameters { key: "INFERENCE_NUM_THREADS" value { string_value: "2" } }
        """,
        type(base)(),
    )


def test_what_is_not_known_stays_as_it_is():
    base = config('name: "m" backend: "my_own" max_batch_size: 4 instance_group { kind: KIND_MODEL }')
    base.parameters["speed"].string_value = "11"
    assert read_settings(base) == Settings(engine="my_own")
    assert write_settings(base, read_settings(base), "") == base


def test_several_kinds_of_instances_are_no_provider():
    both = config('backend: "onnxruntime" instance_group { kind: KIND_CPU } instance_group { kind: KIND_GPU }')
    assert read_settings(both).provider == ""
    assert write_settings(both, read_settings(both), "") == both


@pytest.fixture
def repository(tmp_path):
    weights = np.random.default_rng(3).standard_normal((16, 16)).astype(np.float32)
    write_model(tmp_path, "product", onnx_models.product(weights), PRODUCT)
    return tmp_path


EXPLICIT = EngineOptions(model_control_mode="explicit")
PRODUCT = """
name: "product" backend: "onnxruntime" max_batch_size: 8 dynamic_batching {}
input { name: "INPUT0" data_type: TYPE_FP32 dims: 16 } output { name: "OUTPUT0" data_type: TYPE_FP32 dims: 16 }
instance_group { count: 1 kind: KIND_CPU }
"""


def answers(repository, engines: tuple[str, ...], precisions: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What each configuration answers, by its label."""
    base = read_config(repository / "product" / "config.pbtxt")
    facts = facts_here()
    space = Space(
        (4,), (1, 2), engines, ("cpu",), concurrency=(1,), queue_delays_us=(100,), preferred_batch_sizes=((2,),),
        threads=(0, facts.cores + 1), precisions=precisions, graph_levels=(0, -1, 1, 2),
    )  # fmt: skip
    found = find_engines(base, "model.onnx", facts)
    made = make_variants(space, Configuration("own", 8, 1, base, current=True), base, found, facts, "model.onnx")
    item = np.random.default_rng(4).standard_normal((1, 16)).astype(np.float32)
    result = {}
    for one in made.configurations:
        with Engine(repository, options=EXPLICIT) as engine:
            engine.load("product", one.config)
            loaded = engine.model_config("product")
            assert loaded.backend == one.config.backend
            result[one.label] = engine.infer("product", {"INPUT0": item}).outputs["OUTPUT0"]
    return result


def test_every_variant_loads_without_a_complaint_and_answers(repository, caplog):
    caplog.set_level(logging.WARNING)
    found = answers(repository, ("onnxruntime",), ("",))
    assert len(found) == 1 + 4 * 2 * 2
    for label, answer in found.items():
        np.testing.assert_allclose(answer, found["own"], rtol=1e-5, err_msg=label)
    assert not caplog.records


def test_openvino_answers_alike_and_in_bf16_nearly(repository):
    pytest.importorskip("openvino")
    words = ("f32", "bf16") if "bf16" in facts_here().precisions else ("f32",)
    found = answers(repository, ("onnxruntime", "openvino"), words)
    by_openvino = {label: answer for label, answer in found.items() if "openvino" in label}
    assert len(by_openvino) == 2 * 2 * len(words)
    for label, answer in by_openvino.items():
        exact = np.allclose(answer, found["own"], rtol=1e-5, atol=1e-5)
        assert exact == ("bf16" not in label), label
        np.testing.assert_allclose(answer, found["own"], atol=0.2, err_msg=label)


def test_what_is_not_here_is_told_with_what_brings_it(repository):
    base = read_config(repository / "product" / "config.pbtxt")
    found = find_engines(base, "model.onnx", facts_here())
    assert found.own.engine == "onnxruntime"
    there = {(one.engine, one.provider) for one in found.choices} | {one[:2] for one in found.absent}
    assert there == {
        *(("onnxruntime", provider) for provider in ("cpu", "openvino", "cuda", "tensorrt")),
        ("openvino", "cpu"),
    }
    assert all(reason for _, _, reason in found.absent)


def test_other_files_have_other_engines():
    base = config('name: "m" backend: "pytorch" max_batch_size: 4')
    found = find_engines(base, "model.pt", facts_here())
    assert {one.engine for one in found.choices} | {one[0] for one in found.absent} == {"pytorch"}


def test_one_word_for_a_precision_replaces_the_other():
    base = config('name: "m" backend: "openvino" max_batch_size: 4 instance_group { kind: KIND_CPU }')
    base.parameters["HINT_BF16"].string_value = "YES"
    assert write_settings(base, read_settings(base), "") == base
    exact = write_settings(base, Settings(engine="openvino", provider="cpu", precision="f32"), "")
    assert {key: value.string_value for key, value in exact.parameters.items()} == {"INFERENCE_PRECISION_HINT": "f32"}
