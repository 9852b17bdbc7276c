"""The in-process API: loading, inference, model control, statistics."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from google.protobuf import json_format
from onnx import TensorProto

import onnx_models
from repositories import V2_NAMES, add_sub_config, states, write_model
from tcli_server import Engine, EngineOptions, InferenceRequest
from tcli_server.errors import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ServerError,
    UnavailableError,
)
from waiting import until

EXPLICIT = EngineOptions(model_control_mode="explicit")
ONES = np.ones((1, 16), np.float32)
PAIR = {"INPUT0": ONES, "INPUT1": ONES}


@pytest.fixture(scope="module")
def engine(standard_repository: Path):
    with Engine(standard_repository) as running:
        yield running


def repository(tmp_path: Path, config: str = add_sub_config(more="dynamic_batching {}"), labels: str = "a\n") -> Path:
    folder = write_model(tmp_path, "add_sub", onnx_models.add_sub(), config)
    (folder / "labels.txt").write_text(labels)
    return tmp_path


SAMPLES = {
    "BOOL": [True, False],
    "BYTES": ["é".encode(), b"a\x00b"],
    **{key: [0, 200] for key in ("UINT8", "UINT16", "UINT32", "UINT64")},
    **{key: [-100, 100] for key in ("INT8", "INT16", "INT32", "INT64")},
    **{key: [-0.5, np.inf] for key in ("FP16", "FP32", "FP64", "BF16")},
}


@pytest.mark.parametrize("v2_name", V2_NAMES.values())
def test_every_tensor_type_passes_through(engine: Engine, v2_name: str):
    from tcli_server.datatypes import BY_NAME

    array = np.array([SAMPLES[v2_name]], BY_NAME[v2_name].dtype)
    output = engine.infer(f"identity_{v2_name.lower()}", {"INPUT0": array}).outputs["OUTPUT0"]
    assert output.dtype == array.dtype
    assert output.tolist() == array.tolist()


def test_bytes_that_are_not_text_are_refused(engine: Engine):
    with pytest.raises(InvalidArgumentError, match="UTF-8"):
        engine.infer("identity_bytes", {"INPUT0": np.array([[b"\xff"]], np.object_)})


def test_async_inference(engine: Engine):
    async def many() -> list[float]:
        responses = await asyncio.gather(*(engine.infer_async("add_sub", PAIR) for _ in range(50)))
        return [float(response.outputs["OUTPUT0"][0, 0]) for response in responses]

    assert asyncio.run(many()) == [2.0] * 50


def test_each_request_gets_its_own_rows_of_the_batch(engine: Engine):
    def ask(value: int) -> bool:
        rows = np.full((1 + value % 3, 16), value, np.float32)
        output = engine.infer("add_sub", {"INPUT0": rows, "INPUT1": rows}, outputs=["OUTPUT0"]).outputs["OUTPUT0"]
        return output.shape == rows.shape and bool((output == 2 * value).all())

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(300)))
    executions = engine.model("add_sub").statistics
    assert executions.execution_count <= executions.inference_count


def test_requests_of_different_variable_shapes_do_not_mix(engine: Engine):
    def ask(width: int) -> bool:
        array = np.full((1, width), width, np.float32)
        return engine.infer("identity_fp32", {"INPUT0": array}).outputs["OUTPUT0"].shape == (1, width)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, [1 + index % 5 for index in range(200)]))


def test_requested_outputs_are_mixed_in_a_batch(engine: Engine):
    def ask(index: int) -> bool:
        names = [["OUTPUT0"], ["OUTPUT1"], []][index % 3]
        outputs = engine.infer("add_sub", PAIR, outputs=names).outputs
        return list(outputs) == (names or ["OUTPUT0", "OUTPUT1"])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(120)))


def test_statistics_count_what_ran(tmp_path: Path):
    with Engine(repository(tmp_path)) as engine:
        for _ in range(3):
            engine.infer("add_sub", {"INPUT0": np.ones((2, 16), np.float32), "INPUT1": np.ones((2, 16), np.float32)})
        with pytest.raises(ServerError):
            engine.infer("add_sub", {})
        (stats,) = engine.statistics("add_sub").model_stats
        assert (stats.inference_count, stats.execution_count) == (6, 3)
        assert stats.inference_stats.success.count == 3
        assert stats.inference_stats.queue.count == 3
        assert stats.inference_stats.success.ns >= stats.inference_stats.compute_infer.ns > 0
        assert [(batch.batch_size, batch.compute_infer.count) for batch in stats.batch_stats] == [(2, 3)]
        assert stats.last_inference > 1_600_000_000_000


def test_preserved_order_across_instances(tmp_path: Path):
    config = add_sub_config(
        more="dynamic_batching { preserve_ordering: true } instance_group { count: 3 kind: KIND_CPU }"
    )
    with Engine(repository(tmp_path, config)) as engine:
        answered: list[str] = []
        done = threading.Event()

        def reply(response) -> None:
            answered.append(response.id)
            if len(answered) == 200:
                done.set()

        for index in range(200):
            engine.submit(InferenceRequest("add_sub", dict(PAIR), id=str(index), reply=reply))
        assert done.wait(60)
        assert answered == [str(index) for index in range(200)]


def test_cpu_instances_share_the_cores(tmp_path: Path):
    from tcli_server.hardware.cores import usable_cores

    config = add_sub_config(more="instance_group { count: 2 kind: KIND_CPU }")
    with Engine(repository(tmp_path, config)) as engine:
        placements = engine.model("add_sub").placements
        assert [placement.name for placement in placements] == ["add_sub_0_0", "add_sub_0_1"]
        assert {placement.threads for placement in placements} == {max(1, usable_cores() // 2)}


def test_thread_counts_can_be_set_and_nonsense_is_refused(tmp_path: Path):
    import psutil

    folder = write_model(tmp_path, "counted", onnx_models.identity(), "")

    def threads_of_an_instance(count: str) -> int:
        touch(
            folder / "config.pbtxt",
            f'parameters {{ key: "intra_op_thread_count" value {{ string_value: "{count}" }} }}',
        )
        before = settled_threads()
        engine.load("counted")
        return settled_threads() - before

    def settled_threads() -> int:
        until(lambda: not any(thread.name.startswith(("close ", "control ")) for thread in threading.enumerate()))
        return psutil.Process().num_threads()

    with Engine(tmp_path, options=EXPLICIT) as engine:
        one = threads_of_an_instance("1")
        engine.unload("counted")
        many = threads_of_an_instance("65")
        assert 56 <= many - one <= 72  # 64, and what else of this process comes and goes meanwhile
        with pytest.raises(InvalidArgumentError, match=r"intra_op_thread_count.*found 'many'"):
            threads_of_an_instance("many")


def test_memory_comes_back_when_a_model_is_unloaded(tmp_path: Path):
    import psutil
    from onnx import helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((4096, 4096), np.float32), "W")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["INPUT0", "W"], ["OUTPUT0"])],
        "large",
        [helper.make_tensor_value_info("INPUT0", TensorProto.FLOAT, ["N", 4096])],
        [helper.make_tensor_value_info("OUTPUT0", TensorProto.FLOAT, ["N", 4096])],
        initializer=[weights],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET)
    write_model(tmp_path, "large", model.SerializeToString())
    with Engine(tmp_path, options=EXPLICIT) as engine:
        engine.load("large")
        loaded = psutil.Process().memory_info().rss
        engine.unload("large")
        # The weights are 64 MiB; what else the process does meanwhile is far less than half of that.
        until(lambda: psutil.Process().memory_info().rss < loaded - (32 << 20))


def test_metadata_shows_the_batch_dimension_and_not_the_reshape(engine: Engine):
    metadata = engine.model_metadata("add_sub")
    assert (metadata.platform, list(metadata.versions)) == ("onnxruntime_onnx", ["1"])
    assert list(metadata.inputs[0].shape) == [-1, 16]
    reshaped = engine.model_metadata("reshaped")
    assert (list(reshaped.inputs[0].shape), list(reshaped.outputs[0].shape)) == ([2, 2], [4])


def test_unknown_models_and_versions(engine: Engine):
    with pytest.raises(NotFoundError, match="Request for unknown model: 'x' is not found"):
        engine.infer("x", {})
    with pytest.raises(NotFoundError, match="version 9 is not found"):
        engine.infer("add_sub", PAIR, model_version="9")
    with pytest.raises(InvalidArgumentError, match="version"):
        engine.infer("add_sub", PAIR, model_version="x")
    with pytest.raises(InvalidArgumentError, match="requested model 'x' is not available"):
        engine.statistics("x")


def test_a_model_that_fails_at_run_time_answers_with_the_reason(tmp_path: Path):
    # The file says any width, but the addition of a fixed tensor allows one only.
    from onnx import helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["INPUT0", "FIXED"], ["OUTPUT0"])],
        "picky",
        [helper.make_tensor_value_info("INPUT0", TensorProto.FLOAT, ["N", "M"])],
        [helper.make_tensor_value_info("OUTPUT0", TensorProto.FLOAT, ["N", "M"])],
        initializer=[helper.make_tensor("FIXED", TensorProto.FLOAT, [3], [1, 2, 3])],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET)
    write_model(tmp_path, "picky", model.SerializeToString())
    with Engine(tmp_path) as engine:
        with pytest.raises(InternalError, match="onnx runtime error"):
            engine.infer("picky", {"INPUT0": np.ones((1, 5), np.float32)}, request_id="7")
        assert engine.infer("picky", {"INPUT0": np.ones((1, 3), np.float32)}).outputs["OUTPUT0"].tolist() == [[2, 3, 4]]
        statistics = engine.model("picky").statistics
        assert statistics.failure_count["BACKEND"] == 1
        assert statistics.success_count == 1


# --- model control ---


def test_control_mode_none_loads_all_and_explicit_what_is_named(tmp_path: Path):
    repository(tmp_path)
    write_model(tmp_path, "other", onnx_models.identity())
    with Engine(tmp_path) as engine:
        assert states(engine) == {"add_sub/1": "READY", "other/1": "READY"}
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit", load_models=("other",))) as engine:
        assert states(engine) == {"other/1": "READY"}
        assert engine.ready()
        engine.load("add_sub")
        assert engine.infer("add_sub", PAIR).model_version == "1"
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit", load_models=("*",))) as engine:
        assert len(engine.models()) == 2
    with pytest.raises(InvalidArgumentError, match="model-control-mode"):
        Engine(tmp_path, options=EngineOptions(load_models=("other",)))


def test_a_model_that_cannot_be_loaded_leaves_the_rest_working(tmp_path: Path):
    repository(tmp_path)
    write_model(tmp_path, "broken", b"not a model")
    with Engine(tmp_path) as engine:
        assert engine.live()
        assert not engine.ready()
        (entry,) = [model for model in engine.repository_index().models if model.name == "broken"]
        assert entry.state == "UNAVAILABLE"
        assert "model.onnx" in entry.reason
        with pytest.raises(NotFoundError, match="has no available versions"):
            engine.model("broken")
        assert engine.infer("add_sub", PAIR)


def test_unload_and_load_again(tmp_path: Path):
    with Engine(repository(tmp_path), options=EXPLICIT) as engine:
        engine.load("add_sub")
        engine.infer("add_sub", PAIR)
        engine.unload("add_sub")
        assert states(engine) == {"add_sub/1": "UNAVAILABLE"}
        (entry,) = engine.repository_index().models
        assert entry.reason == "unloaded"
        assert engine.ready()
        with pytest.raises(NotFoundError, match="no available versions"):
            engine.infer("add_sub", PAIR)
        assert not engine.model_ready("add_sub", "1")
        with pytest.raises(UnavailableError, match="version 1 is not at ready state"):
            engine.model("add_sub", "1")
        engine.unload("nothing of that name")
        engine.load("add_sub")
        engine.infer("add_sub", PAIR)
        assert engine.statistics("add_sub").model_stats[0].inference_count == 1


@pytest.mark.parametrize("name", ["", "  ", "..", " .. ", "a/b"])
def test_names_that_no_model_can_have(tmp_path: Path, name: str):
    with Engine(repository(tmp_path), options=EXPLICIT) as engine, pytest.raises(InvalidArgumentError):
        engine.load(name)


def test_load_failures_tell_the_reason(tmp_path: Path):
    repository(tmp_path, add_sub_config().replace("dims", "dimms"))
    write_model(tmp_path, "broken", b"not a model")
    with Engine(tmp_path, options=EXPLICIT) as engine:
        with pytest.raises(InternalError, match=r"failed to load 'nothing', failed to poll from model repository"):
            engine.load("nothing")
        with pytest.raises(InternalError, match=r"failed to load 'add_sub'.*config\.pbtxt:\d+.*dimms"):
            engine.load("add_sub")
        with pytest.raises(InvalidArgumentError, match="load failed for model 'broken'"):
            engine.load("broken")


def test_what_is_not_supported_yet_is_refused_by_name(tmp_path: Path):
    with (
        Engine(
            repository(tmp_path, add_sub_config(more='model_operations { op_library_filename: "x" }')), options=EXPLICIT
        ) as engine,
        pytest.raises(InternalError, match=r"model_operations"),
    ):
        engine.load("add_sub")


def test_kind_gpu_without_a_gpu_is_a_clear_error(tmp_path: Path):
    from tcli_server.hardware.gpu import gpu_count

    if gpu_count():
        pytest.skip("this machine has a GPU")
    config = add_sub_config(more="instance_group { kind: KIND_GPU }")
    with (
        Engine(repository(tmp_path, config), options=EXPLICIT) as engine,
        pytest.raises(InvalidArgumentError) as caught,
    ):
        engine.load("add_sub")
    assert "no NVIDIA GPU" in str(caught.value)


def test_reload_takes_changes_and_failed_reload_keeps_the_old_copy(tmp_path: Path):
    repository(tmp_path)
    config = tmp_path / "add_sub" / "config.pbtxt"
    with Engine(tmp_path, options=EXPLICIT) as engine:
        engine.load("add_sub")
        first = engine.model("add_sub")
        engine.load("add_sub")
        assert engine.model("add_sub") is first, "nothing changed, so nothing is loaded"
        touch(config, add_sub_config(max_batch_size=3))
        engine.load("add_sub")
        assert engine.model_config("add_sub").max_batch_size == 3
        touch(config, "nonsense")
        with pytest.raises(InternalError):
            engine.load("add_sub")
        assert engine.model_config("add_sub").max_batch_size == 3
        assert engine.infer("add_sub", PAIR)
        assert states(engine) == {"add_sub/1": "READY"}


def touch(path: Path, text: str) -> None:
    """Write a file with a modification time that is later than any before, whatever the clock's grain."""
    newest = max(entry.stat().st_mtime_ns for entry in path.parent.rglob("*"))
    path.write_text(text)
    os.utime(path, ns=(newest + 10**9, newest + 10**9))


def test_config_override_stays_until_the_folder_changes(tmp_path: Path):
    with Engine(repository(tmp_path), options=EXPLICIT) as engine:
        engine.load("add_sub")
        override = json_format.MessageToDict(engine.model_config("add_sub"), preserving_proto_field_name=True)
        override["max_batch_size"] = 5
        override["dynamic_batching"] = {}
        import json

        engine.load("add_sub", config=json.dumps(override))
        assert engine.model_config("add_sub").max_batch_size == 5
        engine.load("add_sub")
        assert engine.model_config("add_sub").max_batch_size == 5
        engine.unload("add_sub")
        engine.load("add_sub")
        assert engine.model_config("add_sub").max_batch_size == 8


def test_files_make_a_model_from_nothing(tmp_path: Path):
    with Engine(repository(tmp_path), options=EXPLICIT) as engine:
        files = {"1/model.onnx": onnx_models.add_sub()}
        with pytest.raises(InternalError, match="config"):
            engine.load("pushed", files=files)
        engine.load("pushed", config='{"backend": "onnxruntime"}', files=files)
        assert engine.infer("pushed", PAIR).outputs["OUTPUT0"][0, 0] == 2
        for path in ("../1/model.onnx", "/../1/model.onnx", "1/" + "x" * 256):
            with pytest.raises(InternalError, match="path"):
                engine.load("pushed", config="{}", files={path: b""})
        with pytest.raises(InternalError, match=r"failed to load 'pushed'.*JSON"):
            engine.load("pushed", config="{")
        assert engine.infer("pushed", PAIR)


def test_version_policy(tmp_path: Path):
    for version in (1, 2, 3):
        write_model(
            tmp_path, "many", onnx_models.identity(), "version_policy { specific { versions: [1, 3] } }", version
        )
    with Engine(tmp_path) as engine:
        assert states(engine) == {"many/1": "READY", "many/3": "READY"}
        array = np.ones((1, 4), np.float32)
        assert engine.infer("many", {"INPUT0": array}).model_version == "3"
        assert engine.infer("many", {"INPUT0": array}, model_version="1").model_version == "1"


def test_the_same_name_in_two_repositories_is_in_none(tmp_path: Path):
    for place in ("a", "b"):
        write_model(tmp_path / place, "twin", onnx_models.identity())
    with Engine(tmp_path / "a", tmp_path / "b") as engine:
        assert not engine.models()
        (entry,) = engine.repository_index().models
        assert entry.reason == "model appears in two or more repositories"


def test_nothing_is_lost_when_models_are_reloaded_under_load(tmp_path: Path):
    repository(tmp_path)
    config = tmp_path / "add_sub" / "config.pbtxt"
    with Engine(tmp_path, options=EXPLICIT) as engine:
        engine.load("add_sub")
        stop = threading.Event()
        answered = [0] * 4

        def ask(index: int) -> None:
            while not stop.is_set():
                assert engine.infer("add_sub", PAIR).outputs["OUTPUT0"][0, 0] == 2
                answered[index] += 1

        with ThreadPoolExecutor(4) as pool:
            askers = [pool.submit(ask, index) for index in range(4)]
            for size in (3, 4, 5, 6):
                touch(config, add_sub_config(max_batch_size=size))
                engine.load("add_sub")
            stop.set()
            for asker in askers:
                asker.result(60)
        assert all(answered)


def test_shutdown_answers_what_is_queued_and_refuses_the_rest(standard_repository: Path):
    engine = Engine(standard_repository, options=EngineOptions(model_control_mode="explicit", load_models=("slow",)))
    engine.start()
    answers: list[bool] = []
    for _ in range(5):
        request = InferenceRequest(
            "slow", {"INPUT0": np.ones((1, 4), np.float32)}, reply=lambda r: answers.append(r.error is None)
        )
        engine.submit(request)
    assert engine.shutdown(timeout=60)
    assert answers == [True] * 5
    assert not engine.live()
    with pytest.raises(ServerError):
        engine.infer("slow", {"INPUT0": np.ones((1, 4), np.float32)})


def test_a_missing_repository_is_named(tmp_path: Path):
    with pytest.raises(NotFoundError, match="nowhere"):
        Engine(tmp_path / "nowhere")


def test_bfloat16_keeps_every_bit(engine: Engine):
    words = np.arange(0, 0x7F80, 997, dtype=np.uint16)
    array = words.view(ml_dtypes.bfloat16).reshape(1, -1)
    output = engine.infer("identity_bf16", {"INPUT0": array}).outputs["OUTPUT0"]
    assert np.array_equal(output.view(np.uint16), array.view(np.uint16))
