"""How many threads an instance has, and how long they wait spinning."""

import os
from pathlib import Path

import onnxruntime as ort
import pytest
from google.protobuf import text_format
from psutil import Process
from tritonclient.grpc.model_config_pb2 import ModelConfig

import onnx_models
from repositories import write_model
from tcli_server.backends import Placement, Surroundings
from tcli_server.backends.onnxruntime.options import session_options
from tcli_server.backends.registry import backend
from tcli_server.hardware import cores
from tcli_server.models.check import check_repository
from tcli_server.models.placement import complete_instance_groups, placements

SPIN_DURATION = "session.intra_op.spin_duration_us"
ONE_EACH, TWO_EACH = "instance_group { count: 3 }", "instance_group { count: 2 }"
EXPLICIT = 'parameters { key: "intra_op_thread_count" value { string_value: "3" } }'


def _threads_of(folder: Path, more: str) -> int:
    """Threads that run a model's batches: one that calls each instance, and the others of its session."""
    file = folder / "model.onnx"
    file.write_bytes(onnx_models.identity())
    config = text_format.Parse(f'name: "m" {more}', ModelConfig())
    onnxruntime = backend("onnxruntime")
    complete_instance_groups(config, onnxruntime)
    without = Process().num_threads()
    opened = [onnxruntime.open(config, file, place, Surroundings(folder, 1)) for place in placements(config)]
    return Process().num_threads() - without + len(opened)


@pytest.mark.own_process
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_instances_divide_the_cores_that_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(cores, "_CGROUP_QUOTA", quota)

    def threads(affinity: int, limit: str, more: str) -> int:
        quota.write_text(limit)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)))
        cores.usable_cores.cache_clear()
        return _threads_of(tmp_path, more)

    free, two = "max 100000", "200000 100000"
    assert {
        "all cores": threads(4, free, ""),
        "two each": threads(4, free, TWO_EACH),
        "one each": threads(4, free, ONE_EACH),
        "more instances than cores": threads(2, free, ONE_EACH),
        "affinity": threads(1, free, ""),
        "quota": threads(4, two, ""),
        "quota and two instances": threads(4, two, TWO_EACH),
        "explicit": threads(4, free, EXPLICIT + TWO_EACH),
        "explicit, over the quota": threads(4, two, EXPLICIT),
    } == {
        "all cores": 4,
        "two each": 4,
        "one each": 3,
        "more instances than cores": 3,
        "affinity": 1,
        "quota": 2,
        "quota and two instances": 2,
        "explicit": 6,
        "explicit, over the quota": 3,
    }


@pytest.mark.parametrize(("written", "told"), [(None, "50"), ("-1", "-1"), ("2000", "2000")])
def test_threads_spin_for_a_moment_unless_the_configuration_says_otherwise(written: str | None, told: str):
    config = ModelConfig(name="m")
    if written is not None:
        config.parameters[SPIN_DURATION].string_value = written
    options = session_options(config, Placement("m_0", None, 2))
    assert options.get_session_config_entry(SPIN_DURATION) == told


@pytest.mark.skipif(
    tuple(map(int, ort.__version__.split(".")[:2])) < (1, 26), reason="ONNX Runtime has the key since 1.26"
)
def test_onnx_runtime_knows_how_long_threads_may_spin(capfd: pytest.CaptureFixture[str]):
    """It passes over keys that it does not know, but complains of what no number is."""
    config = ModelConfig(name="m")
    for value in ("50", "soon"):
        config.parameters[SPIN_DURATION].string_value = value
        options = session_options(config, Placement("m_0", None, 2))
        options.log_severity_level = 2
        ort.InferenceSession(onnx_models.identity(), options, providers=["CPUExecutionProvider"])
        assert (SPIN_DURATION in capfd.readouterr().err) == (value == "soon")


def test_a_key_of_another_spelling_is_refused(tmp_path: Path):
    wrong = SPIN_DURATION.replace("intra_op.", "intra_op_")
    write_model(
        tmp_path, "m", onnx_models.identity(), f'parameters {{ key: "{wrong}" value {{ string_value: "50" }} }}'
    )
    (problem,) = check_repository(tmp_path)
    assert problem.field == f'parameters["{wrong}"]'
    assert SPIN_DURATION in problem.expected
