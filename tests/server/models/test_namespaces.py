"""`--model-namespacing`: models of the same name in several repositories.

Every model adds a number of its own, so that an answer says who gave it.
"""

import random
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.utils import InferenceServerException

import onnx_models
from ensemble_models import ensemble, tensor, write_ensemble
from repositories import pushed_folders, write_model
from tcli_server import Engine, EngineOptions
from tcli_server.errors import InternalError, InvalidArgumentError, NotFoundError, ServerError
from tcli_server.observability.metrics import ServerCollector, exposition
from tcli_server.observability.system import SystemPoller
from tcli_server.serving import ServeOptions, Server
from waiting import until

CONFIG = 'backend: "onnxruntime"'
AMBIGUOUS = "There are 2 identifiers of model '{}' in global map, model namespace must be provided to resolve ambiguity"


def adds(number: float) -> bytes:
    return onnx_models.constant(np.array([number], np.float32))


def pipe(*steps: str) -> str:
    """Steps one behind the other; `NAMESPACE/NAME` names a repository."""
    ends = ["INPUT0", *(f"t{index}" for index in range(1, len(steps))), "OUTPUT0"]
    chain = [
        (step.rpartition("/")[2], {"INPUT0": ends[at]}, {"OUTPUT0": ends[at + 1]}) for at, step in enumerate(steps)
    ]
    text = ensemble([tensor("INPUT0", "1")], [tensor("OUTPUT0", "1")], chain, max_batch_size=0)
    for step in steps:
        namespace, _, name = step.rpartition("/")
        if namespace:
            text = text.replace(f'model_name: "{name}"', f'model_name: "{name}" model_namespace: "{namespace}"', 1)
    return text


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A repository whose `shared` adds 1; `only_one` adds 10; `first` is an ensemble over `shared`."""
    write_model(tmp_path / "one", "shared", adds(1), CONFIG)
    write_model(tmp_path / "one", "only_one", adds(10), CONFIG)
    write_ensemble(tmp_path / "one", "first", pipe("shared"))
    return tmp_path / "one"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A repository whose `shared` adds 2; `second` is an ensemble over `shared`, and `mixed` over both repositories."""
    write_model(tmp_path / "two", "shared", adds(2), CONFIG)
    write_ensemble(tmp_path / "two", "second", pipe("shared"))
    write_ensemble(tmp_path / "two", "mixed", pipe("shared", "only_one"))
    return tmp_path / "two"


@contextmanager
def serving(*repositories: Path, mode: str = "explicit", **more: object) -> Iterator[Engine]:
    options = EngineOptions(model_control_mode=mode, model_namespacing=True, repository_poll_secs=0.02, **more)  # type: ignore[arg-type]
    with Engine(*repositories, options=options) as engine:
        yield engine


def ask(engine: Engine, name: str) -> float:
    """What a model adds."""
    return float(engine.infer(name, {"INPUT0": np.zeros(1, np.float32)}).outputs["OUTPUT0"][0])


def rows(engine: Engine) -> list[tuple[str, str, str]]:
    return [(row.name, row.version, row.state) for row in engine.repository_index().models]


def assert_ambiguous(call: Callable[[str], object], name: str, *repositories: Path) -> None:
    """Every way to ask says the same, and what to ask instead."""
    with pytest.raises(InvalidArgumentError) as refusal:
        call(name)
    text = str(refusal.value)
    assert text.startswith(AMBIGUOUS.format(name))
    assert text.endswith("; fix: ask for " + " or ".join(f"'{path}/{name}'" for path in repositories))


def test_models_of_the_same_name_all_load_and_a_name_alone_is_ambiguous(one: Path, two: Path):
    with serving(one, two, mode="none") as engine:
        assert engine.ready()
        assert rows(engine) == [
            ("first", "1", "READY"),
            ("mixed", "1", "READY"),
            ("only_one", "1", "READY"),
            ("second", "1", "READY"),
            ("shared", "1", "READY"),
            ("shared", "1", "READY"),
        ]
        for call in (
            lambda name: engine.infer(name, {"INPUT0": np.zeros(1, np.float32)}),
            engine.model_metadata,
            engine.model_config,
            engine.model_ready,
            engine.statistics,
        ):
            assert_ambiguous(call, "shared", one, two)
        assert ask(engine, "only_one") == 10


def test_the_identifier_says_which_one_is_meant(one: Path, two: Path):
    with serving(one, two, mode="none") as engine:
        assert [ask(engine, f"{path}/shared") for path in (one, two)] == [1, 2]
        assert ask(engine, f"{two}/mixed") == 12
        assert engine.model_ready(f"{one}/shared")
        assert not engine.model_ready(f"{one}/mixed")
        assert engine.model_config(f"{one}/shared").name == "shared"
        (counted,) = engine.statistics(f"{two}/shared").model_stats
        assert (counted.name, counted.inference_count) == ("shared", 2)  # its own, and as a step of `mixed`
        with pytest.raises(NotFoundError, match="unknown model"):
            ask(engine, f"{one}/mixed")


def test_a_step_is_of_the_same_repository_first_and_else_the_only_one_of_its_name(one: Path, two: Path):
    with serving(one, two, mode="none") as engine:
        assert [ask(engine, name) for name in ("first", "second", "mixed")] == [1, 2, 12]
        steps = engine.model_config("mixed").ensemble_scheduling.step
        assert [(step.model_namespace, step.model_name) for step in steps] == [
            (str(two), "shared"),
            (str(one), "only_one"),
        ]


def test_a_step_can_say_its_namespace(one: Path, two: Path):
    write_ensemble(one, "other", pipe(f"{two}/shared"))
    write_ensemble(one, "same", pipe(f"{one}//shared"))
    write_ensemble(one, "nobody", pipe(f"{two}/only_one"))
    with serving(one, two) as engine:
        engine.load("other")
        assert ask(engine, "other") == 2
        assert [model.identifier for model in engine.models()] == [f"{one}/other", f"{two}/shared"]
        engine.load("same")
        assert ask(engine, "same") == 1
        with pytest.raises(InvalidArgumentError, match=f"not available or ambiguous: {two}/only_one"):
            engine.load("nobody")


def test_ensembles_of_the_same_name(one: Path, two: Path):
    write_ensemble(one, "second", pipe("shared", "shared"))
    with serving(one, two) as engine:
        engine.load("second")
        assert_ambiguous(engine.model, "second", one, two)
        assert [ask(engine, f"{path}/second") for path in (one, two)] == [2, 2]
        assert [ask(engine, f"{path}/shared") for path in (one, two)] == [1, 2]


def test_a_step_that_two_other_repositories_have_is_ambiguous(tmp_path: Path, one: Path, two: Path):
    third = tmp_path / "three"
    write_ensemble(third, "third", pipe("shared"))
    with serving(one, two, third) as engine:
        with pytest.raises(InvalidArgumentError, match="models that are not available or ambiguous: shared"):
            engine.load("third")
        (two / "shared").rename(two / ".shared")
        engine.load("third")
        assert ask(engine, "third") == 1
        (two / ".shared").rename(two / "shared")
        engine.load("second")  # and with it the other one of that name
        assert not engine.model_ready("third")
        with pytest.raises(NotFoundError, match=f"ambiguous: 'shared' \\({one}/shared, {two}/shared\\)"):
            ask(engine, "third")
        engine.unload(f"{two}/shared")
        assert ask(engine, "third") == 1
        assert ask(engine, "shared") == 1
        assert ask(engine, "second") == 1  # it, too, goes to the only one


# --- load and unload ---


def test_load_and_unload_act_on_all_of_a_name(one: Path, two: Path):
    with serving(one, two) as engine:
        assert {row[2] for row in rows(engine)} == {""}
        engine.load("shared")
        assert [model.identifier for model in engine.models()] == [f"{one}/shared", f"{two}/shared"]
        engine.unload("shared")
        assert engine.models() == ()
        assert [row for row in rows(engine) if row[1]] == [("shared", "1", "UNAVAILABLE")] * 2
        with pytest.raises(NotFoundError, match="'shared' has no available versions"):
            ask(engine, "shared")


def test_one_of_a_name_can_be_loaded_and_unloaded_by_its_identifier(one: Path, two: Path):
    with serving(one, two) as engine:
        engine.load(f"{two}/shared")
        assert ask(engine, "shared") == 2  # the only one that is asked for
        engine.load(f"{one}/shared")
        assert_ambiguous(engine.model, "shared", one, two)
        engine.unload(f"{two}/shared")
        assert ask(engine, "shared") == 1
        with pytest.raises(InternalError, match="no folder 'nothing'"):
            engine.load(f"{two}/nothing")
        with pytest.raises(InvalidArgumentError, match="path traversal"):
            engine.load(f"{two}/..")
        with pytest.raises(InvalidArgumentError, match="path traversal"):
            engine.load(f"{two.parent}/elsewhere/shared")


def test_what_fails_of_a_name_is_told_and_the_other_is_loaded(one: Path, two: Path):
    (two / "shared" / "1" / "model.onnx").write_bytes(b"broken")
    with serving(one, two) as engine:
        with pytest.raises(InvalidArgumentError, match=f"load failed for model '{two}/shared': "):
            engine.load("shared")
        assert ask(engine, f"{one}/shared") == 1
        assert_ambiguous(engine.model, "shared", one, two)  # not suddenly the answers of another model
        (one / "shared" / "1" / "model.onnx").write_bytes(b"broken too")
        with pytest.raises(InvalidArgumentError) as refusal:
            engine.load("shared")
        assert [line.partition(": ")[0] for line in str(refusal.value).splitlines() if line.startswith("load")] == [
            f"load failed for model '{path}/shared'" for path in (one, two)
        ]


def test_a_configuration_is_for_all_of_a_name_and_files_are_for_one(one: Path, two: Path):
    own = ModelConfig(name="shared", backend="onnxruntime", metric_tags={"who": "both"})
    before = pushed_folders()  # unpacked environments of Python models lie there as well
    with serving(one, two) as engine:
        engine.load("shared", own)
        assert [model.config.metric_tags["who"] for model in engine.models()] == ["both", "both"]
        files = {"1/model.onnx": adds(7)}
        assert_ambiguous(lambda name: engine.load(name, own, files), "shared", one, two)
        engine.load(f"{two}/shared", own, files)
        assert [ask(engine, f"{path}/shared") for path in (one, two)] == [1, 7]
        engine.load("shared")
        assert [ask(engine, f"{path}/shared") for path in (one, two)] == [1, 2]
        engine.load("pushed", ModelConfig(backend="onnxruntime"), files)
        assert ask(engine, "pushed") == 7
        engine.unload("pushed")
        until(lambda: pushed_folders() == before)


def test_the_models_to_start_with_are_all_of_their_names(one: Path, two: Path):
    with serving(one, two, load_models=("shared", "second", "nothing")) as engine:
        identifiers = [model.identifier for model in engine.models()]
        assert identifiers == [f"{one}/shared", f"{two}/second", f"{two}/shared"]
        assert ("nothing", "", "UNAVAILABLE") in rows(engine)


def test_an_ensemble_loads_its_own_models_and_takes_along_those_that_nobody_else_needs(one: Path, two: Path):
    with serving(one, two) as engine:
        engine.load("mixed")
        engine.load("second")
        assert {model.identifier for model in engine.models()} == {
            f"{two}/mixed",
            f"{two}/second",
            f"{two}/shared",
            f"{one}/only_one",
        }
        engine.unload("mixed", unload_dependents=True)
        until(lambda: not engine.loading)
        assert {model.identifier for model in engine.models()} == {f"{two}/second", f"{two}/shared"}


def test_ensembles_follow_their_models_that_come_and_go_in_explicit_mode(one: Path, two: Path, tmp_path: Path):
    """As NVIDIA's test of namespaces does it."""
    (one / "shared").rename(tmp_path / "away")
    with serving(one, two) as engine:
        for name in ("first", "second"):
            engine.load(name)
        assert [ask(engine, name) for name in ("first", "second", "shared")] == [2, 2, 2]
        (tmp_path / "away").rename(one / "shared")
        engine.load("first")
        assert [ask(engine, name) for name in ("first", "second")] == [1, 2]
        assert_ambiguous(engine.model, "shared", one, two)


def test_ensembles_follow_their_models_that_come_and_go_under_poll(one: Path, two: Path, tmp_path: Path):
    with serving(one, two, mode="poll") as engine:
        assert [ask(engine, name) for name in ("first", "second")] == [1, 2]
        (one / "shared").rename(tmp_path / "away")
        until(lambda: engine.model_ready("first") and ask(engine, "first") == 2)
        assert ask(engine, "shared") == 2
        assert ask(engine, "second") == 2
        (tmp_path / "away").rename(one / "shared")
        until(lambda: ask(engine, "first") == 1)
        assert ask(engine, "second") == 2
        assert_ambiguous(engine.model, "shared", one, two)
        shutil.rmtree(two / "shared")
        until(lambda: ask(engine, "second") == 1)


def test_a_nested_ensemble_is_of_its_own_repository(one: Path, two: Path):
    for path in (one, two):
        write_ensemble(path, "inner", pipe("shared"))
        write_ensemble(path, "outer", pipe("inner", "inner"))
    with serving(one, two, mode="none") as engine:
        assert [ask(engine, f"{path}/outer") for path in (one, two)] == [2, 4]


def test_a_circle_through_two_repositories_is_refused(one: Path, two: Path):
    write_ensemble(one, "left", pipe("right"))
    write_ensemble(two, "right", pipe("left"))
    with (
        serving(one, two) as engine,
        pytest.raises(InvalidArgumentError, match=f"circular dependency.*{one}/left -> {two}/right -> {one}/left"),
    ):
        engine.load("left")


def test_models_come_and_go_under_requests(one: Path, two: Path):
    """Whoever is asked by its identifier, or as a step of its own repository's ensemble, answers itself or not at all."""
    right = {f"{one}/shared": 1, f"{two}/shared": 2, "only_one": 10}
    done = threading.Event()
    told: list[str] = []

    with serving(one, two) as engine, ThreadPoolExecutor(8) as clients:

        def keep_asking(seed: int) -> int:
            dice, answers = random.Random(seed), 0
            while not done.is_set():
                name = dice.choice([*right, "first", "second", "mixed", "shared"])
                try:
                    answer = ask(engine, name)
                except ServerError as error:
                    told.append(str(error))
                else:
                    answers += 1
                    assert answer == right.get(name, answer)
                    assert answer in (1, 2, 10, 11, 12)
            return answers

        def change(seed: int) -> None:
            dice = random.Random(seed)
            for _ in range(30):
                name = dice.choice([*right, "first", "second", "mixed", "shared"])
                try:
                    engine.unload(name, dice.random() < 0.5) if dice.random() < 0.4 else engine.load(name)
                except ServerError as error:
                    told.append(str(error))

        asking = [clients.submit(keep_asking, seed) for seed in range(4)]
        for changed in [clients.submit(change, seed) for seed in range(4)]:
            changed.result(120)
        done.set()
        for each in asking:
            each.result(60)
        assert [error for error in told if "Error:" in error] == []  # no defect has come to light
        until(lambda: not engine.loading)
        for name in ("first", "second", "mixed"):
            engine.load(name)
        assert [ask(engine, name) for name in ("first", "second", "mixed")] == [1, 2, 12]


# --- what tells models apart ---


def metrics(engine: Engine) -> str:
    return exposition(ServerCollector(engine, SystemPoller(1000, False, False)).collect()).decode()


def test_metrics_have_the_namespace_as_a_label(one: Path, two: Path):
    with serving(one, two, mode="none") as engine:
        ask(engine, f"{two}/shared")
        for path, count in ((one, 0), (two, 1)):
            labels = f'model="shared",namespace="{path}",version="1"'
            assert f"nv_inference_request_success{{{labels}}} {count}\n" in metrics(engine)
    with Engine(one) as engine:
        assert 'nv_inference_count{model="shared",version="1"} 0\n' in metrics(engine)


def test_answers_in_the_cache_are_of_one_namespace(one: Path, two: Path):
    for path in (one, two):
        (path / "shared" / "config.pbtxt").write_text(f"{CONFIG} response_cache {{ enable: true }}")
    with serving(one, two, mode="none", response_cache_byte_size=1 << 20) as engine:
        for _ in range(2):
            assert [ask(engine, f"{path}/shared") for path in (one, two)] == [1, 2]
        for path in (one, two):
            (counted,) = engine.statistics(f"{path}/shared").model_stats
            assert (counted.inference_stats.cache_hit.count, counted.inference_stats.cache_miss.count) == (1, 1)


def test_instances_change_in_place(one: Path, two: Path):
    with serving(one, two) as engine:
        engine.load("shared")
        models = engine.models()
        (two / "shared" / "config.pbtxt").write_text(f"{CONFIG} instance_group {{ kind: KIND_CPU count: 2 }}")
        engine.load("shared")
        assert engine.models() == models
        assert [len(model.instances) for model in models] == [1, 2]


def test_over_http_and_grpc(one: Path, two: Path):
    options = ServeOptions(
        http_port=0, grpc_port=0, http_address="127.0.0.1", grpc_address="127.0.0.1", allow_metrics=False
    )
    with serving(one, two, mode="none") as engine, Server(engine, options) as server:
        body = {"inputs": [{"name": "INPUT0", "shape": [1], "datatype": "FP32", "data": [0.0]}]}
        models = f"http://127.0.0.1:{server.http_port}/v2/models"
        answer = httpx.post(f"{models}/shared/infer", json=body)
        assert (answer.status_code, AMBIGUOUS.format("shared") in answer.json()["error"]) == (400, True)
        assert httpx.get(f"{models}/shared/ready").status_code == 400
        answer = httpx.post(f"{models}/{quote(f'{two}/shared', safe='')}/infer", json=body)
        assert (answer.status_code, answer.json()["outputs"][0]["data"]) == (200, [2.0])
        with triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
            tensor = triton.InferInput("INPUT0", [1], "FP32")
            tensor.set_data_from_numpy(np.zeros(1, np.float32))
            assert client.infer(f"{one}/shared", [tensor]).as_numpy("OUTPUT0").tolist() == [1.0]
            with pytest.raises(InferenceServerException, match="to resolve ambiguity"):
                client.infer("shared", [tensor])


# --- without namespaces ---


def test_without_namespaces_a_namespace_in_a_step_means_nothing_and_is_told(
    one: Path, caplog: pytest.LogCaptureFixture
):
    write_ensemble(one, "first", pipe("/anywhere/shared"))
    with Engine(one) as engine:
        assert ask(engine, "first") == 1
        assert "the namespace of step 'shared' means nothing without --model-namespacing" in caplog.text


def test_without_namespaces_a_second_model_of_a_name_keeps_both_from_loading(one: Path, two: Path):
    with Engine(one, two) as engine:
        assert ("shared", "", "UNAVAILABLE") in rows(engine)
        (reason,) = {row.reason for row in engine.repository_index().models if row.name == "shared"}
        assert reason == "model appears in two or more repositories"
        with pytest.raises(InternalError, match="is in several repositories and so in none"):
            engine.load("shared")
        with pytest.raises(NotFoundError):
            ask(engine, "first")
        assert ask(engine, "only_one") == 10


def test_without_namespaces_a_second_model_that_comes_under_poll_leaves_the_first_one_alone(
    one: Path, two: Path, caplog: pytest.LogCaptureFixture
):
    (two / "shared").rename(two / ".shared")
    options = EngineOptions(model_control_mode="poll", repository_poll_secs=0.02)
    with Engine(one, two, options=options) as engine:
        assert ask(engine, "shared") == 1
        assert ask(engine, "mixed") == 11  # an ensemble over both repositories
        (two / ".shared").rename(two / "shared")
        until(lambda: "model 'shared' is in several repositories and so in none" in caplog.text)
        assert ask(engine, "shared") == 1
        shutil.rmtree(one / "shared")
        until(lambda: ask(engine, "shared") == 2)
        assert ask(engine, "mixed") == 12
