"""Real models that share resources, in an engine: what is refused, what comes and goes, and what NVIDIA's test looks for."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from ensemble_models import ensemble, write_ensemble
from limited import Gate, limited_config, resource, used, waits, write_limited
from repositories import states
from tcli_server import Engine, EngineOptions
from tcli_server.errors import InvalidArgumentError
from tcli_server.models.check import check_repository
from tcli_server.serving import ServeOptions, Server
from waiting import until

ONE = np.ones((1, 4), np.float32)
LOOPBACK = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)


def options(*resources: str, mode: str = "execution_count", **more: object) -> EngineOptions:
    return EngineOptions(rate_limit=mode, rate_limit_resources=resources, **more)


def write_nvidias(repository: Path) -> Path:
    """The two models of NVIDIA's L0_rate_limiter, on the CPU."""
    write_limited(repository, "first", resource("resource1", 4))
    write_limited(
        repository, "second", f"{resource('resource1', 2)}{resource('resource2', 2, everywhere=True)} priority: 2"
    )
    return repository


def reason(engine: Engine, name: str) -> str:
    (row,) = [row for row in engine.repository_index().models if row.name == name]
    assert row.state == "UNAVAILABLE"
    return row.reason


def infer(engine: Engine, name: str, value: float = 1) -> float:
    return float(engine.infer(name, {"INPUT0": ONE * value}).outputs["OUTPUT0"][0, 0])


# --- loading ---


@pytest.mark.parametrize(
    ("resources", "limit", "refused"),
    [
        (("resource1:1",), 1, {"first": 4, "second": 2}),
        (("resource1:3", "resource2:2"), 3, {"first": 4}),
        (("resource1:10:10", "resource2:2"), 0, {"first": 4, "second": 2}),
    ],
)
def test_models_that_could_never_run_are_not_loaded(
    tmp_path: Path, resources: tuple[str, ...], limit: int, refused: dict[str, int]
):
    with Engine(write_nvidias(tmp_path), options=options(*resources)) as engine:
        for name, least in refused.items():
            words = (
                f'Resource count for "resource1" is limited to {limit} which will prevent scheduling of one or more model '
                f"instances, the minimum required count is {least}"
            )
            assert words in reason(engine, name)
            place = f"{tmp_path / name / 'config.pbtxt'}:3: instance_group[0].rate_limiter.resources[0]: "
            assert place in reason(engine, name)
        served = {"first", "second"} - refused.keys()
        assert {model.name for model in engine.models()} == served
        assert all(infer(engine, name) == 1 for name in served)


def test_a_resource_that_the_command_line_does_not_name_is_not_there(tmp_path: Path):
    with Engine(write_nvidias(tmp_path), options=options("resource1:4")) as engine:
        assert '"resource2" is limited to 0 which' in reason(engine, "second")
        assert "instance_group[0].rate_limiter.resources[1]" in reason(engine, "second")
        assert infer(engine, "first") == 1


def test_a_resource_of_both_kinds_is_refused_for_whoever_comes_later(tmp_path: Path):
    write_nvidias(tmp_path)
    write_limited(tmp_path, "third", resource("resource2", 2))
    with Engine(tmp_path, options=options(model_control_mode="explicit")) as engine:
        engine.load("second")
        words = (
            'rate_limiter.resources.0.: Resource "resource2" is present as both global and device-specific resource in the model '
            "configuration.: device-specific here, but not in model 'second'"
        )
        with pytest.raises(InvalidArgumentError, match=words):
            engine.load("third")
        engine.unload("second")
        until(lambda: engine.rate_limiter.use() == [])
        engine.load("third")
        with pytest.raises(InvalidArgumentError, match="global here, but not in model 'third'"):
            engine.load("second")


MISTAKES = {
    'resources { name: "R" count: 1 } resources { name: "R" global: true count: 1 }': "resources[1].global",
    'resources { name: "R" count: 1 } resources { name: "R" count: 2 }': "resources[1].name",
    "resources { count: 1 }": "resources[0].name",
}


@pytest.mark.parametrize("group", MISTAKES)
def test_a_mistake_in_a_configuration_is_told_with_its_place(tmp_path: Path, group: str):
    field = f"instance_group[0].rate_limiter.{MISTAKES[group]}"
    write_limited(tmp_path, "wrong", group)
    write_limited(tmp_path, "right", resource("R", 1))
    (note,) = check_repository(tmp_path)
    assert (note.field, note.line, note.blocks) == (field, 3, False)
    with Engine(tmp_path, options=options()) as engine:
        assert f"{tmp_path / 'wrong' / 'config.pbtxt'}:3: {field}: found" in reason(engine, "wrong")
        assert infer(engine, "right") == 1
        with pytest.raises(InvalidArgumentError, match=r"in the parameter 'config': instance_group\[0\]\.rate_limiter"):
            engine.load("right", f'{{"instance_group": [{{"rate_limiter": {_json(group)}}}]}}')
    with Engine(tmp_path, options=EngineOptions()) as engine:
        assert infer(engine, "wrong") == 1


def _json(group: str) -> str:
    from google.protobuf import json_format, text_format
    from tritonclient.grpc.model_config_pb2 import ModelRateLimiter

    return json_format.MessageToJson(text_format.Parse(group, ModelRateLimiter()))


def test_with_off_nothing_is_looked_at_and_nothing_waits(tmp_path: Path):
    write_nvidias(tmp_path)
    write_limited(tmp_path, "third", resource("resource2", 2))
    with Engine(tmp_path) as engine:
        assert engine.rate_limiter is None
        gates = [Gate(engine, name) for name in ("first", "second", "third")]
        with ThreadPoolExecutor(3) as clients:
            for gate in gates:
                gate.close()
            answers = [clients.submit(infer, engine, name) for name in ("first", "second", "third")]
            for gate in gates:
                gate.begun()
            for gate in gates:
                gate.open()
            assert [answer.result(60) for answer in answers] == [1, 1, 1]


def test_the_configuration_that_is_shown_has_it(tmp_path: Path):
    with Engine(write_nvidias(tmp_path), options=options()) as engine:
        limits = engine.model_config("second").instance_group[0].rate_limiter
        assert limits.priority == 2
        assert [(each.name, each.count) for each in limits.resources] == [("resource1", 2), ("resource2", 2)]


# --- running ---


class Client:
    """Keeps so many requests under way to a model until somebody has sent the last one; as NVIDIA's test does."""

    def __init__(self, engine: Engine, name: str, exhausted: threading.Event) -> None:
        self.sent = 0
        self._engine, self._name, self._exhausted = engine, name, exhausted
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(8)]

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._exhausted.is_set():
                    return
                self.sent += 1
                if self.sent == 160:
                    self._exhausted.set()
                number = self.sent
            assert infer(self._engine, self._name, number) == number

    def __enter__(self) -> "Client":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize("resources", [("resource1:4", "resource2:2"), ()], ids=["explicit", "implicit"])
def test_priority_two_gets_half_as_much_done(tmp_path: Path, resources: tuple[str, ...]):
    with Engine(write_nvidias(tmp_path), options=options(*resources)) as engine:
        running: list[int] = []
        for index, name in enumerate(("first", "second")):
            instance = engine.model(name).instances[0].instance
            run = instance.run

            def counted(inputs: object, outputs: object, run=run, index: int = index) -> object:
                running.append(index)
                assert running == [index]  # never both
                # Not before the other one is in line and this one has more to do: all that counts is whose turn it is.
                own = engine.model(("first", "second")[index])
                until(lambda: exhausted.is_set() or bool(engine.rate_limiter._waiting and own.pending))
                running.remove(index)
                return run(inputs, outputs)

            instance.run = counted
        exhausted = threading.Event()
        with Client(engine, "first", exhausted) as first, Client(engine, "second", exhausted) as second:
            pass
        assert first.sent == 160
        # Twenty runs of eight against ten, or eleven where the second is the last; it has eight more under way at the end.
        assert 160 / 96 <= first.sent / second.sent < 2.1


def test_with_enough_for_both_the_two_run_side_by_side(tmp_path: Path):
    with Engine(write_nvidias(tmp_path), options=options("resource1:6", "resource2:2")) as engine:
        gates = [Gate(engine, name) for name in ("first", "second")]
        with ThreadPoolExecutor(2) as clients:
            for gate in gates:
                gate.close()
            answers = [clients.submit(infer, engine, name) for name in ("first", "second")]
            for gate in gates:
                gate.begun()
            assert used(engine.rate_limiter) == {"resource1/cpu": 6, "resource2/global": 2}
            for gate in gates:
                gate.open()
            assert [answer.result(60) for answer in answers] == [1, 1]


def test_a_model_that_is_unloaded_while_it_waits_still_answers(tmp_path: Path):
    with Engine(write_nvidias(tmp_path), options=options(model_control_mode="explicit", load_models=("*",))) as engine:
        gate = Gate(engine, "first")
        with ThreadPoolExecutor(3) as clients:
            gate.close()
            running = clients.submit(infer, engine, "first", 1)
            gate.begun()
            waiting = clients.submit(infer, engine, "second", 2)
            waits(engine.rate_limiter, 1)
            engine.unload("second")  # does not wait for it
            assert states(engine)["second/1"] == "UNLOADING"
            gate.open()
            assert (running.result(60), waiting.result(60)) == (1, 2)
        until(lambda: states(engine)["second/1"] == "UNAVAILABLE")
        assert {use.name: use.amount for use in engine.rate_limiter.use()} == {"resource1": 4}
        engine.load("second")
        assert infer(engine, "second") == 1


def test_a_change_of_resources_replaces_the_instance_in_place(tmp_path: Path):
    write_limited(tmp_path, "model", resource("R", 1))
    write_limited(tmp_path, "other", resource("R", 1))
    with Engine(tmp_path, options=options(model_control_mode="explicit", load_models=("*",))) as engine:
        infer(engine, "model")
        model = engine.model("model")
        gate = Gate(engine, "other")
        with ThreadPoolExecutor(2) as clients:
            gate.close()
            running = clients.submit(infer, engine, "other")
            gate.begun()
            waiting = clients.submit(infer, engine, "model")
            waits(engine.rate_limiter, 1)
            (tmp_path / "model" / "config.pbtxt").write_text(limited_config(resource("S", 3)))
            engine.load("model")
            assert waiting.result(60) == 1  # by the new instance, which needs nothing that is held
            gate.open()
            assert running.result(60) == 1
        assert engine.model("model") is model
        assert model.statistics.success_count == 2
        until(lambda: {use.name: use.amount for use in engine.rate_limiter.use()} == {"R": 1, "S": 3})


def test_a_reload_whose_needs_cannot_be_met_keeps_the_old_copy(tmp_path: Path):
    write_limited(tmp_path, "model", resource("R", 1))
    with Engine(tmp_path, options=options("R:1", model_control_mode="explicit", load_models=("*",))) as engine:
        write_limited(tmp_path, "model", resource("R", 2))
        with pytest.raises(
            InvalidArgumentError, match=r"the minimum required count is 2; fix: .* --rate-limit-resource=R:2"
        ):
            engine.load("model")
        assert infer(engine, "model") == 1


def test_reloads_and_unloads_under_load_lose_nothing(tmp_path: Path):
    names = ("a", "b", "c")
    for index, name in enumerate(names):
        write_limited(tmp_path, name, f"{resource('R', 1 + index % 2)} priority: {index}", more="dynamic_batching { }")
    with Engine(tmp_path, options=options(model_control_mode="explicit", load_models=("*",))) as engine:
        stopped = threading.Event()
        wrong: list[str] = []

        def ask(name: str) -> None:
            number = 0
            while not stopped.is_set() or number < 20:
                number += 1
                try:
                    if infer(engine, name, number) != number:
                        wrong.append(name)
                except Exception as error:
                    if name != "c" or "unknown model" not in str(error):
                        wrong.append(repr(error))

        threads = [threading.Thread(target=ask, args=(name,)) for name in names * 2]
        for thread in threads:
            thread.start()
        for turn in range(12):
            name = names[turn % 2]
            write_limited(tmp_path, name, resource("R", 1 + turn % 3), more=f"dynamic_batching {{ }} # {turn}")
            engine.load(name)
            engine.unload("c")
            engine.load("c")
        stopped.set()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
        assert wrong == []
    assert engine.rate_limiter._permits == []


def test_an_engine_ends_while_a_model_waits(tmp_path: Path):
    engine = Engine(write_nvidias(tmp_path), options=options())
    engine.start()
    gate = Gate(engine, "first")
    with ThreadPoolExecutor(2) as clients:
        gate.close()
        running = clients.submit(infer, engine, "first")
        gate.begun()
        waiting = clients.submit(infer, engine, "second")
        waits(engine.rate_limiter, 1)
        assert not engine.shutdown(0.05)
        gate.open()
        assert (running.result(60), waiting.result(60)) == (1, 1)
    until(lambda: engine.rate_limiter._permits == [])


def test_the_steps_of_an_ensemble_take_their_turns(tmp_path: Path):
    write_nvidias(tmp_path)
    steps = [("first", {"INPUT0": "A"}, {"OUTPUT0": "B"}), ("second", {"INPUT0": "B"}, {"OUTPUT0": "S"})]
    config = (
        ensemble(["A"], ["S"], steps)
        .replace("dims: [ 16 ]", "dims: [ 4 ]")
        .replace("max_batch_size: 8", "max_batch_size: 4")
    )
    write_ensemble(tmp_path, "pipe", config)
    with Engine(tmp_path, options=options()) as engine, ThreadPoolExecutor(8) as clients:
        asked = [clients.submit(engine.infer, "pipe", {"A": ONE * number}) for number in range(50)]
        assert [answer.result(60).outputs["S"][0, 0] for answer in asked] == list(range(50))


def test_metrics_show_who_holds_and_waits(tmp_path: Path):
    with Server(Engine(write_nvidias(tmp_path), options=options("resource1:5", "resource2:7")), LOOPBACK) as running:
        engine = running.engine
        gate = Gate(engine, "first")

        def page() -> list[str]:
            return httpx.get(f"http://127.0.0.1:{running.metrics_port}/metrics").text.splitlines()

        with ThreadPoolExecutor(2) as clients:
            gate.close()
            answers = [clients.submit(infer, engine, "first")]
            gate.begun()
            answers.append(clients.submit(infer, engine, "second"))
            waits(engine.rate_limiter, 1)
            lines = page()
            for line in (
                'nv_rate_limiter_resource_amount{device="cpu",resource="resource1"} 5',
                'nv_rate_limiter_resource_amount{device="global",resource="resource2"} 7',
                'nv_rate_limiter_resource_used{device="cpu",resource="resource1"} 4',
                'nv_rate_limiter_resource_used{device="global",resource="resource2"} 0',
                'nv_rate_limiter_waiting_count{device="cpu",resource="resource1"} 1',
                'nv_rate_limiter_waiting_count{device="global",resource="resource2"} 0',
            ):
                assert line in lines
            gate.open()
            assert [answer.result(60) for answer in answers] == [1, 1]
        lines = page()
        waited = [line for line in lines if line.startswith('nv_rate_limiter_wait_duration_us{device="cpu"')]
        assert int(waited[0].split()[-1]) > 0
        assert 'nv_rate_limiter_wait_duration_us{device="global",resource="resource2"} 0' in lines
        queued = next(line for line in lines if line.startswith('nv_inference_queue_duration_us{model="second"'))
        assert int(queued.split()[-1]) >= int(waited[0].split()[-1])  # the wait counts as time in the queue


def test_no_metrics_without_a_limiter(tmp_path: Path):
    with Server(Engine(write_nvidias(tmp_path)), LOOPBACK) as running:
        page = httpx.get(f"http://127.0.0.1:{running.metrics_port}/metrics").text
    assert "rate_limiter" not in page
