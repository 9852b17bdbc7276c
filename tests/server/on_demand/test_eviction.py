"""A budget of memory: what is longest unused goes, what is used stays, and whoever comes for what went hears nothing of it."""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from ensemble_models import ensemble, tensor, write_ensemble
from on_demand_models import (
    MIB,
    ROW,
    Asked,
    ask_weights,
    loaded,
    on_demand,
    options,
    tally,
    write_identities,
    write_weights,
)
from python_models import REPEAT, REPEAT_CONFIG, write_python_model
from repositories import write_model
from sequence_models import sums, sums_config
from tcli_server import Engine
from tcli_server.errors import InvalidArgumentError, NotFoundError, UnavailableError
from waiting import until


class Held:
    """A model that runs only once it may."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.running = threading.Event()
        self._leave = threading.Event()
        (placed,) = engine.model(name).instances
        run = placed.instance.run

        def held(inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
            self.running.set()
            assert self._leave.wait(60)
            return run(inputs, outputs)

        placed.instance.run = held

    def let_go(self) -> None:
        self._leave.set()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """m0 to m4, of 16 MiB each."""
    write_weights(tmp_path, *(f"m{index}" for index in range(5)))
    return tmp_path


def fits(count: float) -> int:
    """A budget for so many of them."""
    return int(count * 16 * MIB)


@pytest.mark.own_process
def test_what_is_longest_unused_goes_first(weights: Path):
    with Engine(weights, options=options(memory_budget=fits(4.5))) as engine:
        for name in ("m0", "m1"):
            ask_weights(engine, name)
        assert loaded(engine) == {"m0", "m1"}
        last_ms = engine.model("m1").statistics.last_inference_ms
        until(lambda: time.time_ns() // 10**6 > last_ms)
        ask_weights(engine, "m0")
        until(lambda: not engine.loading)
        ask_weights(engine, "m2")
        assert loaded(engine) == {"m0", "m2"}
        assert engine.ready()
        assert all(engine.model_ready(f"m{index}") for index in range(5))
        assert on_demand(engine).room.evictions["memory"] >= 1


def test_what_went_comes_back_and_goes_on_counting(weights: Path):
    with Engine(weights, options=options(memory_budget=fits(1.5))) as engine:
        for _ in range(3):
            for name in ("m0", "m1"):
                ask_weights(engine, name)
        assert tally(engine, "m0").loads == tally(engine, "m1").loads == 3
        counted = {stats.name: stats for stats in engine.statistics().model_stats}
        assert {name: stats.inference_count for name, stats in counted.items()} == {"m0": 3, "m1": 3}
        assert engine.statistics("m0").model_stats[0].inference_stats.success.count == 3
        assert counted["m0"].batch_stats[0].compute_infer.count == 3


def test_what_is_used_stays_and_the_next_one_waits(weights: Path):
    with Engine(weights, options=options(memory_budget=fits(1.5))) as engine:
        ask_weights(engine, "m0")
        held = Held(engine, "m0")
        one = {"INPUT0": np.ones(1, np.float32)}
        running = Asked(engine, "m0", one)
        assert held.running.wait(60)
        waits = Asked(engine, "m1", one)
        until(lambda: bool(on_demand(engine).room._line))
        assert not waits.request.ended
        assert loaded(engine) == {"m0"}
        held.let_go()
        assert running.answer().error is None
        assert waits.answer().error is None
        assert loaded(engine) == {"m1"}
        assert tally(engine, "m0").loads == 1


def test_where_all_stays_in_use_the_next_one_is_told_so(weights: Path):
    with Engine(weights, options=options(memory_budget=fits(1.5), load_wait_secs=0.3)) as engine:
        engine.load("m0")
        held = Held(engine, "m0")
        running = Asked(engine, "m0", {"INPUT0": np.ones(1, np.float32)})
        assert held.running.wait(60)
        with pytest.raises(UnavailableError, match=r"no room for model 'm1' within 0.3 s: .*in use or stay loaded: m0"):
            engine.load("m1")
        held.let_go()
        assert running.answer().error is None
        engine.load("m1")
        assert loaded(engine) == {"m1"}


@pytest.mark.own_process
def test_a_model_that_can_never_fit_is_refused(weights: Path):
    write_weights(weights, "m9", mib=48)
    with Engine(weights, options=options(memory_budget=40 * MIB)) as engine:
        ask_weights(engine, "m0")
        error = Asked(engine, "m9", {"INPUT0": np.ones(1, np.float32)}).error()
        assert error.startswith("UNAVAILABLE: model 'm9' needs 48.0 MiB at least, but --memory-budget is 40.0 MiB")
        assert loaded(engine) == {"m0"}  # nothing was unloaded for it
        ask_weights(engine, "m1")


@pytest.mark.own_process
def test_pinned_models_are_loaded_at_the_start_and_stay(weights: Path):
    with Engine(weights, options=options("m1", memory_budget=fits(4.5), pin_models=("m0",))) as engine:
        assert loaded(engine) == {"m0", "m1"}
        for index in (1, 2, 3, 4, 1, 2):
            ask_weights(engine, f"m{index}")
            assert "m0" in loaded(engine)
        assert tally(engine, "m0").loads == 1
        engine.unload("m0")  # whoever asks for that means it
        assert not engine.ready()
        engine.load("m0")
        assert engine.ready()


def test_what_pinned_models_leave_must_be_enough(weights: Path):
    write_weights(weights, "m9", mib=32)
    with Engine(weights, options=options(memory_budget=40 * MIB, pin_models=("m0",))) as engine:
        error = Asked(engine, "m9", {"INPUT0": np.ones(1, np.float32)}).error()
        assert "'m9' needs 32.0 MiB at least, but --memory-budget is 40.0 MiB of which" in error
        assert "are for models that stay loaded" in error


def test_a_pinned_model_that_is_not_there(weights: Path):
    with pytest.raises(NotFoundError, match="--pin-model: there is no model 'm7' in the model repository"):
        Engine(weights, options=options(pin_models=("m0", "m7"))).start()


def test_a_model_with_an_open_sequence_stays(weights: Path):
    write_model(weights, "sums", sums(), sums_config("max_sequence_idle_microseconds: 600000000"))
    with Engine(weights, options=options(memory_budget=fits(1.5), idle_unload_secs=0.01)) as engine:

        def add(number: int, **flags: bool) -> int:
            inputs = {"INPUT": np.full((1, 1), number, np.int32)}
            return int(engine.infer("sums", inputs, sequence_id=7, **flags).outputs["OUTPUT"].ravel()[0])

        assert add(1, sequence_start=True) == 1
        for index in (0, 1, 2, 0, 1):
            ask_weights(engine, f"m{index}")
            assert "sums" in loaded(engine)
        assert add(2) == 3
        assert add(3, sequence_end=True) == 6
        until(lambda: "sums" not in loaded(engine))
        assert tally(engine, "sums").loads == 1


def test_a_python_model_that_answers_later_stays(weights: Path):
    code = REPEAT.replace("for value in values:", "import time\n        time.sleep(1)\n        for value in values:")
    write_python_model(weights, "repeat", code, REPEAT_CONFIG)
    with Engine(weights, options=options(idle_unload_secs=0.05)) as engine:
        asked = Asked(engine, "repeat", {"IN": np.arange(3, dtype=np.int32)}, takes_many=True)
        answers = [asked.answer().outputs["OUT"][0] for _ in range(3)]
        assert answers == [0, 1, 2]
        assert tally(engine, "repeat").loads == 1
        until(lambda: "repeat" not in loaded(engine))


def test_the_models_of_an_ensemble_stay_with_it(weights: Path):
    write_model(weights, "add_sub", onnx_models.add_sub())
    steps = [("add_sub", {"INPUT0": "A", "INPUT1": "A"}, {"OUTPUT0": "B"})]
    write_ensemble(weights, "pipe", ensemble(["A"], ["B"], steps, 4))
    with Engine(weights, options=options(idle_unload_secs=0.02)) as engine:
        engine.infer("pipe", {"A": np.ones((1, 16), np.float32)})
        held = Held(engine, "add_sub")
        running = Asked(engine, "pipe", {"A": np.ones((1, 16), np.float32)})
        assert held.running.wait(60)
        for _ in range(20):
            assert not engine._control.evict("add_sub")
            assert not engine._control.evict("pipe")
        held.let_go()
        assert running.answer().error is None
        until(lambda: not loaded(engine))  # the ensemble first, then its model
        assert engine.infer("pipe", {"A": np.ones((1, 16), np.float32)}).error is None


def test_families_that_together_have_no_room_take_turns(tmp_path: Path):
    """Each needs two models and there is room for three, so one could wait for the other for ever."""
    write_weights(tmp_path, "m0", "m1", "m2", "m3")
    for name, first, second in (("one", "m0", "m1"), ("two", "m2", "m3")):
        tensors = [tensor("A", "1")], [tensor("B", "1"), tensor("C", "1")]
        steps = [(first, {"INPUT0": "A"}, {"OUTPUT0": "B"}), (second, {"INPUT0": "A"}, {"OUTPUT0": "C"})]
        write_ensemble(tmp_path, name, ensemble(*tensors, steps, 0))
    with Engine(tmp_path, options=options(memory_budget=fits(3.5))) as engine:
        inputs = {"A": np.ones(1, np.float32)}
        asked = [Asked(engine, name, inputs) for _ in range(5) for name in ("one", "two")]
        assert all(each.answer().error is None for each in asked)


def test_idle_models_are_unloaded(tmp_path: Path):
    write_identities(tmp_path, "one", "two")
    with Engine(tmp_path, options=options(idle_unload_secs=0.2, pin_models=("two",))) as engine:
        engine.infer("one", ROW)
        began = time.monotonic()
        until(lambda: loaded(engine) == {"two"})
        assert time.monotonic() - began >= 0.15
        until(lambda: on_demand(engine).room.evictions == {"memory": 0, "idle": 1})
        assert engine.infer("one", ROW).error is None
        assert tally(engine, "one").loads == 2


def test_what_only_a_load_request_can_bring_stays(tmp_path: Path):
    write_identities(tmp_path, "one", "two")
    with Engine(tmp_path, options=options(idle_unload_secs=0.02)) as engine:
        engine.load("one", '{"max_batch_size": 2}')
        engine.load("pushed", '{"backend": "onnxruntime"}', {"1/model.onnx": onnx_models.identity()})
        engine.infer("two", ROW)
        until(lambda: "two" not in loaded(engine))
        assert loaded(engine) == {"one", "pushed"}
        assert engine.model_config("one").max_batch_size == 2
        assert engine.infer("pushed", ROW).error is None
        engine.unload("pushed")
        with pytest.raises(NotFoundError):
            engine.infer("pushed", ROW)


def test_unloading_by_request_lasts_until_a_load_request(tmp_path: Path):
    write_identities(tmp_path, "one")
    with Engine(tmp_path, options=options()) as engine:
        engine.infer("one", ROW)
        engine.unload("one")
        assert not engine.model_ready("one")
        assert "unloaded by request" in Asked(engine, "one").error()
        with pytest.raises(UnavailableError, match="unloaded by request"):
            engine.model_config("one")
        engine.load("one")
        assert engine.infer("one", ROW).error is None
        assert engine.model_ready("one")
        assert engine.statistics("one").model_stats[0].inference_count == 1


def test_many_clients_and_little_room(weights: Path):
    """Every answer is right, whatever comes and goes, and the counters add up."""
    write_model(weights, "sums", sums(), sums_config())
    failures: list[str] = []

    def client(engine: Engine, seed: int) -> None:
        chance = np.random.default_rng(seed)
        for turn in range(15):
            try:
                if chance.random() < 0.2:
                    total = 0
                    for step in range(3):
                        total += step
                        response = engine.infer(
                            "sums",
                            {"INPUT": np.full((1, 1), step, np.int32)},
                            sequence_id=1 + seed * 100 + turn,
                            sequence_start=step == 0,
                            sequence_end=step == 2,
                        )
                        assert response.outputs["OUTPUT"].ravel()[0] == total
                else:
                    ask_weights(engine, f"m{chance.integers(5)}")
            except BaseException as error:
                failures.append(f"{seed}/{turn}: {error!r}")

    with Engine(weights, options=options(memory_budget=fits(4.5), idle_unload_secs=0.05)) as engine:
        threads = [threading.Thread(target=client, args=(engine, seed)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        counted = engine.statistics().model_stats
        asked = 4 * 15 + 2 * sum(stats.inference_count for stats in counted if stats.name == "sums") // 3
        assert sum(stats.inference_count for stats in counted) == asked
        assert sum(stats.inference_stats.fail.count for stats in counted) == 0
        assert on_demand(engine).waiting == 0
        assert engine._pending.held == 0
        until(lambda: not loaded(engine))


@pytest.mark.parametrize(
    ("mode", "fields", "text"),
    [
        ("none", {"memory_budget": 1}, "--memory-budget needs --model-control-mode=on-demand"),
        ("explicit", {"pin_models": ("m0",)}, "--pin-model needs --model-control-mode=on-demand"),
        ("poll", {"idle_unload_secs": 3}, "--idle-unload-secs needs --model-control-mode=on-demand"),
    ],
)
def test_options_that_do_not_go_together(weights: Path, mode: str, fields: dict, text: str):
    chosen = options(**fields)
    object.__setattr__(chosen, "model_control_mode", mode)
    with pytest.raises(InvalidArgumentError, match=text):
        Engine(weights, options=chosen)
    with pytest.raises(InvalidArgumentError, match="--load-model=\\* is what --model-control-mode=none does"):
        Engine(weights, options=options("*"))
