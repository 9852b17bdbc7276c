"""What changes without a reload: instances and versions; everything else of a model goes on as it is."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format

import onnx_models
from ensemble_models import ensemble, write_ensemble
from python_models import IDENTITY, IDENTITY_CONFIG, write_python_model
from repositories import states, write_model
from tcli_server import Engine, EngineOptions
from tcli_server.errors import InvalidArgumentError
from tcli_server.models.model import Model
from waiting import until

MODEL = onnx_models.add_sub()
PAIR = {name: np.ones((1, 16), np.float32) for name in ("INPUT0", "INPUT1")}
ALL, LATEST, SECOND = "all { }", "latest { num_versions: 1 }", "specific { versions: [ 2 ] }"


def config(policy: str = ALL, instances: int = 1) -> str:
    return f"""
        backend: "onnxruntime" {f"version_policy {{ {policy} }}" if policy else ""}
        instance_group {{ kind: KIND_CPU count: {instances} }}
        parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
    """


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path, "m", MODEL, config())
    return write_model(tmp_path, "m", MODEL, version=2)


Follow = Callable[[Callable[[], bool]], None]
"""Has the server follow what changed on disk, until something holds."""


@contextmanager
def serving(folder: Path, mode: str) -> Iterator[tuple[Engine, Follow]]:
    options = EngineOptions(model_control_mode=mode, repository_poll_secs=0.02)  # type: ignore[arg-type]
    with Engine(folder.parent, options=options) as engine:

        def follow(holds: Callable[[], bool]) -> None:
            if mode == "explicit":
                engine.load("m")
                assert holds()
            until(holds)

        if mode == "explicit":
            engine.load("m")
        for model in engine.models():
            engine.infer("m", PAIR, model_version=str(model.version))
        yield engine, follow


def versions(engine: Engine) -> dict[int, Model]:
    return {model.version: model for model in engine.models()}


def assert_untouched(model: Model) -> None:
    assert model.statistics.success_count == 1
    assert not model._stopped


@pytest.mark.parametrize("mode", ["explicit", "poll"])
def test_instances_come_and_go(folder: Path, mode: str):
    with serving(folder, mode) as (engine, follow):
        before = versions(engine)
        first = {number: model.instances[0] for number, model in before.items()}
        for count in (3, 2, 1):
            (folder / "config.pbtxt").write_text(config(instances=count))
            follow(lambda count=count: all(len(model.instances) == count for model in before.values()))
            assert versions(engine) == before
            for number, model in before.items():
                assert first[number] in model.instances  # not opened again
                assert model.config.instance_group[0].count == count
                assert_untouched(model)
        engine.infer("m", PAIR)


@pytest.mark.parametrize("mode", ["explicit", "poll"])
def test_a_new_version_leaves_the_others(folder: Path, mode: str):
    with serving(folder, mode) as (engine, follow):
        before = versions(engine)
        write_model(folder.parent, "m", MODEL, version=3)
        follow(lambda: 3 in versions(engine))
        for number, model in before.items():
            assert engine.model("m", str(number)) is model
            assert_untouched(model)


@pytest.mark.parametrize("mode", ["explicit", "poll"])
def test_another_policy_changes_only_the_versions_that_it_chooses_otherwise(folder: Path, mode: str):
    with serving(folder, mode) as (engine, follow):
        second = engine.model("m", "2")
        for policy, there in ((LATEST, [2]), (ALL, [1, 2]), (SECOND, [2])):
            (folder / "config.pbtxt").write_text(config(policy))
            follow(lambda there=there: list(versions(engine)) == there)
            assert engine.model("m") is second
            assert_untouched(second)
            assert engine.model_config("m").version_policy.WhichOneof("policy_choice") == policy.split()[0]
        (folder / "config.pbtxt").write_text(config(policy=""))
        follow(lambda: engine.model_config("m").version_policy.latest.num_versions == 1)
        assert engine.model("m") is second
        assert states(engine) == {"m/1": "UNAVAILABLE", "m/2": "READY"}


def test_policy_and_instances_change_at_once(folder: Path):
    with serving(folder, "explicit") as (engine, follow):
        second = engine.model("m", "2")
        (folder / "config.pbtxt").write_text(config(LATEST, 2))
        follow(lambda: list(versions(engine)) == [2])
        assert engine.model("m") is second
        assert len(second.instances) == 2
        assert_untouched(second)


def test_a_python_model_keeps_the_processes_that_stay(tmp_path: Path):
    code = """
        import os

        class TritonPythonModel:
            def execute(self, requests):
                pid = np.array([os.getpid()], np.float32)
                return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", pid)]) for _ in requests]
        """
    folder = write_python_model(tmp_path, "m", code)
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")) as engine:
        engine.load("m")
        model = engine.model("m")

        def process() -> float:
            return float(engine.infer("m", {"INPUT0": np.zeros(1, np.float32)}).outputs["OUTPUT0"][0])

        first = process()
        for count in (3, 1):
            (folder / "config.pbtxt").write_text(
                f"{IDENTITY_CONFIG} instance_group {{ kind: KIND_CPU count: {count} }}"
            )
            engine.load("m")
            assert engine.model("m") is model
            assert len(model.instances) == count
        assert process() == first
        assert model.statistics.success_count == 2


def test_anything_else_loads_every_version_anew(folder: Path):
    with serving(folder, "explicit") as (engine, follow):
        before = versions(engine)
        (folder / "config.pbtxt").write_text(config(instances=2) + 'metric_tags { key: "a" value: "b" }')
        follow(lambda: not set(versions(engine).values()) & set(before.values()))
        before = versions(engine)
        (folder / "labels.txt").write_text("one")
        follow(lambda: not set(versions(engine).values()) & set(before.values()))


def test_a_version_that_cannot_be_loaded_leaves_all_as_it_was(folder: Path):
    (folder / "config.pbtxt").write_text(config(LATEST))
    with serving(folder, "explicit") as (engine, _):
        second = engine.model("m")
        (folder / "1" / "model.onnx").write_bytes(b"broken")
        (folder / "config.pbtxt").write_text(config(ALL, 2))
        with pytest.raises(InvalidArgumentError, match="version 1 is at UNAVAILABLE state"):
            engine.load("m")
        assert list(versions(engine).values()) == [second]
        assert (len(second.instances), second.config.version_policy.WhichOneof("policy_choice")) == (1, "latest")


def test_an_ensemble_keeps_its_versions_too(folder: Path):
    step = ("m", {"INPUT0": "INPUT0", "INPUT1": "INPUT1"}, {"OUTPUT0": "S"})
    made = ensemble(["INPUT0", "INPUT1"], ["S"], [step], max_batch_size=4)
    write_ensemble(folder.parent, "pipe", made)
    (folder.parent / "pipe" / "2").mkdir()
    with serving(folder, "explicit") as (engine, _):
        engine.load("pipe")
        second = engine.model("pipe")
        (folder.parent / "pipe" / "config.pbtxt").write_text(made + "version_policy { all { } }")
        engine.load("pipe")
        assert engine.model("pipe") is second
        assert engine.model("pipe", "1") is not second


def test_an_instance_that_goes_has_finalized_when_the_load_has_answered(tmp_path: Path):
    code = """
    import pathlib, time


    class TritonPythonModel:
        def initialize(self, arguments):
            self.mark = pathlib.Path(pb_utils.get_model_dir()).parent / ("gone " + arguments["model_instance_name"])

        def execute(self, requests):
            time.sleep(0.1)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", r.inputs()[0].as_numpy())]) for r in requests]

        def finalize(self):
            self.mark.touch()
    """
    group = "instance_group {{ kind: KIND_CPU count: {} }}"
    folder = write_python_model(tmp_path, "m", code, IDENTITY_CONFIG + group.format(3))
    options = EngineOptions(model_control_mode="explicit", load_models=("m",))
    with ThreadPoolExecutor(6) as clients, Engine(tmp_path, options=options) as engine:
        running = [clients.submit(engine.infer, "m", {"INPUT0": np.ones(4, np.float32)}) for _ in range(6)]
        (folder / "config.pbtxt").write_text(IDENTITY_CONFIG + group.format(1))
        engine.load("m")
        assert {path.name for path in folder.glob("gone *")} == {"gone m_0_1", "gone m_0_2"}
        for answer in running:
            assert answer.result(60).outputs["OUTPUT0"].tolist() == [1, 1, 1, 1]


def test_a_model_that_places_itself_is_told_so(tmp_path: Path):
    code = """
    class TritonPythonModel:
        def initialize(self, arguments):
            self.told = [arguments["model_instance_" + name] for name in ("kind", "device_id", "name")]

        def execute(self, requests):
            told = np.array(self.told, np.object_)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("TOLD", told)]) for _ in requests]
    """
    config = """
    backend: "python"
    input { name: "INPUT0" data_type: TYPE_FP32 dims: [-1] }
    output { name: "TOLD" data_type: TYPE_STRING dims: [-1] }
    """
    folder = write_python_model(tmp_path, "m", code, config + "instance_group { kind: KIND_MODEL }")
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit", load_models=("m",))) as engine:
        question = {"INPUT0": np.ones(1, np.float32)}
        assert engine.infer("m", question).outputs["TOLD"].tolist() == [b"MODEL", b"0", b"m_0_0"]
        (folder / "config.pbtxt").write_text(config + "instance_group { kind: KIND_CPU }")
        engine.load("m")  # another kind is another instance
        assert engine.infer("m", question).outputs["TOLD"].tolist() == [b"CPU", b"0", b"m_0_0"]


def test_instances_of_other_names_and_in_another_order_are_the_same(folder: Path):
    def groups(*given: tuple[str, str, int]) -> str:
        made = [f'{{ name: "{name}" kind: {kind} count: {count} }}' for name, kind, count in given]
        return config("", 1).replace("{ kind: KIND_CPU count: 1 }", f"[ {', '.join(made)} ]")

    first = [("a", "KIND_CPU", 2), ("b", "KIND_MODEL", 1)]
    (folder / "config.pbtxt").write_text(groups(*first))
    with serving(folder, "explicit") as (engine, _):
        model = engine.model("m")
        before = list(model.instances)
        for given in (
            [("b", "KIND_MODEL", 1), ("a", "KIND_CPU", 2)],
            [("x", "KIND_CPU", 1), ("y", "KIND_MODEL", 1), ("z", "KIND_CPU", 1)],
        ):
            (folder / "config.pbtxt").write_text(groups(*given))
            engine.load("m")
            assert engine.model("m") is model
            assert set(map(id, model.instances)) == set(map(id, before))
            assert [group.name for group in model.config.instance_group] == [name for name, _, _ in given]
        (folder / "config.pbtxt").write_text(groups(("a", "KIND_MODEL", 3), ("b", "KIND_CPU", 1)))
        engine.load("m")
        assert len(set(map(id, model.instances)) & set(map(id, before))) == 2  # one of each kind
        assert len(model.instances) == 4
        names = [placed.placement.name for placed in model.instances]
        assert len(set(names)) == 4, names


@pytest.mark.parametrize("kind", ["onnx", "python"])
def test_what_the_server_says_of_a_model_with_other_instances_is_a_change_in_place(folder: Path, kind: str):
    if kind == "python":
        write_python_model(folder.parent, "python", IDENTITY, IDENTITY_CONFIG)
    name, question = ("m", PAIR) if kind == "onnx" else ("python", {"INPUT0": np.ones(4, np.float32)})
    with Engine(folder.parent, options=EngineOptions(model_control_mode="explicit", load_models=("*",))) as engine:
        model = engine.model(name)
        (first,) = model.instances
        said = json_format.MessageToDict(engine.model_config(name), preserving_proto_field_name=True)
        said["instance_group"][0]["count"] += 1
        engine.load(name, json.dumps(said))
        assert engine.model(name) is model
        assert len(model.instances) == 2
        assert first in model.instances
        engine.infer(name, question)
        said["max_batch_size"] = 16 if kind == "onnx" else 0
        said["parameters"] = {"another": {"string_value": "1"}}
        engine.load(name, json.dumps(said))
        assert engine.model(name) is not model
