"""Streams: one instance runs as many batches at a time as OpenVINO has streams for it."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tcli_server import Engine
from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.hardware.cores import usable_cores

pytest.importorskip("openvino")

import openvino as ov
import openvino.opset15 as ops

from openvino_models import named, own_answers, parameter, product, save

TWO_STREAMS = """
max_batch_size: 4
parameters { key: "NUM_STREAMS" value { string_value: "2" } }
parameters { key: "INFERENCE_NUM_THREADS" value { string_value: "2" } }
parameters { key: "INFERENCE_PRECISION_HINT" value { string_value: "f32" } }
"""
needs_two_cores = pytest.mark.skipif(usable_cores() < 2, reason="OpenVINO has a stream a core at most")


@needs_two_cores
def test_an_instance_has_a_lane_for_each_stream(tmp_path: Path):
    save(product(), tmp_path, "m", TWO_STREAMS)
    save(product(), tmp_path, "latency", "max_batch_size: 4")
    with Engine(tmp_path) as engine:
        assert [placed.instance.lanes for placed in engine.model("m").instances] == [2]
        assert [placed.instance.lanes for placed in engine.model("latency").instances] == [1]


@pytest.mark.parametrize("written", [
    {"PERFORMANCE_HINT": "LATENCY"}, {"PERFORMANCE_HINT": "THROUGHPUT"}, {"NUM_STREAMS": "AUTO"},
    {"PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": "1"},
])  # fmt: skip
def test_as_many_batches_run_at_a_time_as_openvino_wants(tmp_path: Path, written: dict[str, str]):
    lines = [f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in written.items()]
    folder = save(product(), tmp_path, "m", "\n".join(("max_batch_size: 4", *lines)))
    properties = {"INFERENCE_NUM_THREADS": usable_cores(), "ENABLE_CPU_PINNING": False, **written}
    compiled = ov.Core().compile_model(str(folder / "1" / "model.xml"), "CPU", properties)
    with Engine(tmp_path) as engine:
        (placed,) = engine.model("m").instances
        working = [thread for thread in threading.enumerate() if thread.name == placed.placement.name]
        assert len(working) == placed.instance.lanes == len(ov.AsyncInferQueue(compiled))


@needs_two_cores
def test_every_stream_has_run_the_warm_up_before_the_model_is_ready(tmp_path: Path):
    sample = "batch_size: 3 inputs { key: 'X' value { data_type: TYPE_FP32 dims: [ 16 ] random_data: true } }"
    save(product(), tmp_path, "m", f"{TWO_STREAMS} model_warmup {{ name: 'first' {sample} }}")
    with Engine(tmp_path) as engine:
        (placed,) = engine.model("m").instances
        requests = [request for _, request in placed.instance._free]
        assert [request.get_output_tensor(0).shape[0] for request in requests] == [3, 3]


@pytest.mark.parametrize("more", ["", "dynamic_batching { }", "instance_group { count: 2 }", "sequence_batching { }"])
def test_everybody_gets_his_own_answer(tmp_path: Path, more: str):
    folder = save(product(), tmp_path, "m", TWO_STREAMS + more)
    inputs = np.random.default_rng(5).random((200, 1, 16), np.float32)
    (own,) = own_answers(folder / "1" / "model.xml", {"X": inputs[:, 0]}, {"INFERENCE_PRECISION_HINT": "f32"})
    sequence = (
        (lambda number: {"sequence_id": number + 1, "sequence_start": True, "sequence_end": True})
        if "sequence" in more
        else (lambda _: {})
    )
    with Engine(tmp_path) as engine, ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda number: engine.infer("m", {"X": inputs[number]}, **sequence(number)).outputs["Y"][0],
            range(len(inputs)),
        )
        assert np.allclose(list(answers), own, rtol=1e-5)


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_sizes_that_do_not_fit_within_the_model_are_refused_and_harm_nobody(tmp_path: Path, precision: str):
    """OpenVINO itself reads beyond the input's end here, or fails on each later run."""
    config = f'parameters {{ key: "INFERENCE_PRECISION_HINT" value {{ string_value: "{precision}" }} }}'
    save(product((-1, -1)), tmp_path, "m", config)
    right, wrong = np.ones((2, 16), np.float32), np.ones((2, 5), np.float32)
    with Engine(tmp_path) as engine:
        first = engine.infer("m", {"X": right}).outputs["Y"]
        for _ in range(3):
            with pytest.raises(InvalidArgumentError, match=r"does not take inputs .*: 'X' \[2, 5\]") as caught:
                engine.infer("m", {"X": wrong})
            assert not re.search(r"src/|\n", str(caught.value))
            assert np.array_equal(engine.infer("m", {"X": right}).outputs["Y"], first)


def test_a_failure_on_values_leaves_its_lane_usable(tmp_path: Path):
    x, shape = parameter("X", shape=(4,)), parameter("SHAPE", ov.Type.i32, (2,))
    model = ov.Model([named(ops.reshape(x, shape, False), "Y")], [x, shape], "reshape")
    save(model, tmp_path, "m")
    with Engine(tmp_path) as engine:
        for _ in range(3):
            inputs = {"X": np.arange(4, dtype=np.float32), "SHAPE": np.array([2, 2], np.int32)}
            assert engine.infer("m", inputs).outputs["Y"].tolist() == [[0, 1], [2, 3]]
            with pytest.raises(InternalError, match="openvino error: ") as caught:
                engine.infer("m", inputs | {"SHAPE": np.array([3, 2], np.int32)})
            assert not re.search(r"src/|\n", str(caught.value))


def test_limits_of_a_dimension_are_kept_by_each_request_alone(tmp_path: Path):
    x = parameter("X", shape=(-1, ov.Dimension(1, 4)))
    save(ov.Model([named(ops.relu(x), "Y")], [x], "relu"), tmp_path, "m")
    with Engine(tmp_path) as engine:
        with pytest.raises(
            InvalidArgumentError, match=r"input 'X' has shape \[1, 6\], but the model takes \[\?,1..4\]"
        ):
            engine.infer("m", {"X": np.ones((1, 6), np.float32)})
        assert engine.infer("m", {"X": np.ones((1, 4), np.float32)}).outputs["Y"].shape == (1, 4)
