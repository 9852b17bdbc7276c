"""Warm-up: what every instance runs before its model is ready."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from tritonclient.utils import serialize_byte_tensor

import onnx_models
from repositories import states, write_model
from sequence_models import sums, sums_config
from tcli_server import Engine, EngineOptions
from tcli_server.backends.onnxruntime.session import OnnxRuntimeInstance
from tcli_server.errors import InvalidArgumentError
from tcli_server.models.check import check_repository

EXPLICIT = EngineOptions(model_control_mode="explicit")
BASE = 'backend: "onnxruntime" max_batch_size: 4'


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """The inputs of every run of any instance."""
    seen: list[dict[str, np.ndarray]] = []
    run = OnnxRuntimeInstance.run

    def recorded(
        instance: OnnxRuntimeInstance, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray]:
        seen.append({name: array.copy() for name, array in inputs.items()})
        return run(instance, inputs, outputs)

    monkeypatch.setattr(OnnxRuntimeInstance, "run", recorded)
    return seen


def sample(
    source: str, dims: str = "4", kind: str = "FP32", batch_size: int = 1, more: str = "", name: str = "INPUT0"
) -> str:
    value = f"value {{ data_type: TYPE_{kind} dims: [ {dims} ] {source} }}"
    return f'model_warmup {{ name: "first" batch_size: {batch_size} inputs {{ key: "{name}" {value} }} {more} }}'


def serve(folder: Path, text: str, kind: int = TensorProto.FLOAT, **files: bytes) -> Engine:
    write_model(folder, "m", onnx_models.identity(kind), f"{BASE} {text}")
    (folder / "m" / "warmup").mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / "m" / "warmup" / name).write_bytes(data)
    return Engine(folder, options=EXPLICIT)


def test_all_lanes_of_an_instance_run_the_samples_side_by_side(
    tmp_path: Path, runs: list, monkeypatch: pytest.MonkeyPatch
):
    both, recorded = threading.Barrier(2), OnnxRuntimeInstance.run

    def met(
        instance: OnnxRuntimeInstance, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray]:
        both.wait(60)
        return recorded(instance, inputs, outputs)

    monkeypatch.setattr(OnnxRuntimeInstance, "run", met)
    monkeypatch.setattr(OnnxRuntimeInstance, "lanes", 2)
    with serve(tmp_path, sample("zero_data: true", more="count: 2")) as engine:
        engine.load("m")
        assert [run["INPUT0"].tolist() for run in runs] == [[[0] * 4]] * 4


def test_a_sample_that_fails_on_any_lane_keeps_the_model_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lanes, recorded = iter(range(2)), OnnxRuntimeInstance.run

    def second_fails(
        instance: OnnxRuntimeInstance, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[np.ndarray]:
        if next(lanes):
            raise InvalidArgumentError("the second lane has no memory left")
        return recorded(instance, inputs, outputs)

    monkeypatch.setattr(OnnxRuntimeInstance, "run", second_fails)
    monkeypatch.setattr(OnnxRuntimeInstance, "lanes", 2)
    with (
        serve(tmp_path, sample("zero_data: true")) as engine,
        pytest.raises(InvalidArgumentError, match=r"'first' of model 'm': .*the second lane has no memory left"),
    ):
        engine.load("m")


def test_zeros_on_every_instance_and_nothing_is_counted(tmp_path: Path, runs: list):
    text = sample("zero_data: true", batch_size=3, more="count: 2") + " instance_group { count: 2 kind: KIND_CPU }"
    with serve(tmp_path, text) as engine:
        engine.load("m")
        assert [run["INPUT0"].tolist() for run in runs] == [[[0] * 4] * 3] * 4
        statistics = engine.model("m").statistics
        assert (statistics.execution_count, statistics.inference_count, statistics.success_count) == (0, 0, 0)


def test_more_than_a_batch_takes_runs_in_several(tmp_path: Path, runs: list):
    with serve(tmp_path, sample("zero_data: true", batch_size=9)) as engine:
        engine.load("m")
        assert [len(run["INPUT0"]) for run in runs] == [4, 4, 1]


def test_random_values_differ_and_are_numbers(tmp_path: Path, runs: list):
    with serve(tmp_path, sample("random_data: true", batch_size=2)) as engine:
        engine.load("m")
    (rows,) = [run["INPUT0"] for run in runs]
    assert np.isfinite(rows).all()
    assert (rows[0] != rows[1]).any()


def test_values_from_a_file(tmp_path: Path, runs: list):
    values = np.arange(5, dtype=np.float32)
    with serve(tmp_path, sample('input_data_file: "values"'), values=values.tobytes()) as engine:
        engine.load("m")
    assert runs[0]["INPUT0"].tolist() == [[0, 1, 2, 3]]


def test_strings_from_a_file_and_empty_ones(tmp_path: Path, runs: list):
    data = serialize_byte_tensor(np.array(["a", "bc", "", "d"], np.object_)).item()
    text = (
        sample('input_data_file: "words"', kind="STRING")
        + sample("zero_data: true", kind="STRING")
        + sample("random_data: true", kind="STRING")
    )
    with serve(tmp_path, text, TensorProto.STRING, words=data) as engine:
        engine.load("m")
    assert [run["INPUT0"].tolist() for run in runs] == [[["a", "bc", "", "d"]], [[""] * 4], [[""] * 4]]


def test_a_batch_size_of_zero_runs_nothing_and_says_so(tmp_path: Path, runs: list, caplog: pytest.LogCaptureFixture):
    with serve(tmp_path, sample("zero_data: true", batch_size=0)) as engine:
        engine.load("m")
        assert states(engine) == {"m/1": "READY"}
    assert runs == []
    assert "'first' with batch_size 0, which never runs" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (sample("zero_data: true", "5"), "unexpected shape for input 'INPUT0'"),
        (sample("zero_data: true", kind="INT32"), "data-type is 'INT32'"),
        (sample("zero_data: true", name="OTHER"), "unexpected inference input 'OTHER'"),
        (sample('input_data_file: "short"'), "has 7 bytes, expected 16"),
    ],
)
def test_a_sample_that_does_not_fit_fails_the_load_and_is_named(tmp_path: Path, text: str, words: str):
    with serve(tmp_path, text, short=bytes(7)) as engine, pytest.raises(InvalidArgumentError, match=words) as failure:
        engine.load("m")
    assert "model_warmup sample 'first' of model 'm'" in str(failure.value)
    assert any(
        "model_warmup sample 'first'" in problem.found for problem in check_repository(tmp_path) if problem.blocks
    )


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (sample("zero_data: true", "-1"), ".dims[0]"),
        (sample("zero_data: true", ""), ".dims"),
        (sample("zero_data: true").replace("data_type: TYPE_FP32", ""), ".data_type"),
        (sample(""), ""),
        (sample('input_data_file: "nowhere"'), ".input_data_file"),
        (sample("zero_data: true", "1000000, 1000000"), ".dims"),
    ],
)
def test_a_sample_that_is_wrong_in_itself_is_told_by_its_field(tmp_path: Path, text: str, field: str):
    serve(tmp_path, text)
    fields = [problem.field for problem in check_repository(tmp_path)]
    assert f'model_warmup[0].inputs["INPUT0"].value{field}' in fields


def test_a_model_that_fails_on_a_sample_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    closed: list[OnnxRuntimeInstance] = []
    close = OnnxRuntimeInstance.close
    monkeypatch.setattr(OnnxRuntimeInstance, "close", lambda instance: (closed.append(instance), close(instance)))

    def failing(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(OnnxRuntimeInstance, "run", failing)
    with serve(tmp_path, sample("zero_data: true")) as engine:
        with pytest.raises(InvalidArgumentError, match=r"sample 'first' of model 'm': .*RuntimeError: no"):
            engine.load("m")
        assert not engine.model_ready("m")
    assert len(closed) == 1


def test_a_stateful_model_gets_its_controls_and_states(tmp_path: Path, runs: list):
    text = sums_config() + sample("zero_data: true", "1", "INT32", 2, name="INPUT")
    given = sums_config() + sample("zero_data: true", "1", "INT32", 1, name="INPUT").replace(
        "inputs {", 'inputs { key: "END" value { data_type: TYPE_INT32 dims: [ 1 ] zero_data: true } } inputs {', 1
    )
    for config, expected in ((text, [[1, 1, 1, 1]] * 2), (given, [[1, 0, 1, 1]])):
        runs.clear()
        write_model(tmp_path, "sums", sums(), config)
        with Engine(tmp_path) as engine:
            assert states(engine) == {"sums/1": "READY"}
        (run,) = runs
        seen = np.concatenate([run[name] for name in ("START", "END", "READY", "CORRID")], axis=1)
        assert seen.tolist() == expected
        assert run["SUM_IN"].ravel().tolist() == [0] * len(expected)
