"""Ensembles that cannot be: judged alone, against the models of their steps, and when these come and go."""

import time
from pathlib import Path

import numpy as np
import pytest

import onnx_models
from ensemble_models import Step, ensemble, tensor, write_ensemble
from repositories import states, write_model
from tcli_server import Engine, EngineOptions
from tcli_server.errors import InternalError, InvalidArgumentError, NotFoundError
from tcli_server.models.check import check_repository
from waiting import until

EXPLICIT = EngineOptions(model_control_mode="explicit")
FIRST: Step = ("first", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "S"})
PAIR = {"A": np.ones((1, 16), np.float32), "B": np.ones((1, 16), np.float32)}


def reason(engine: Engine, name: str) -> str:
    return next(row.reason for row in engine.repository_index().models if row.name == name)


def ready(engine: Engine) -> set[str]:
    return {name.split("/")[0] for name, state in states(engine).items() if state == "READY"}


# --- judged alone ---

ALONE = [
    ("no steps", ensemble(["A"], ["S"], []), "ensemble_scheduling.step"),
    ("no model", ensemble(["A", "B"], ["S"], [("", FIRST[1], FIRST[2])]), "ensemble_scheduling.step[0].model_name"),
    ("no inputs", ensemble(["A", "B"], ["S"], [("first", {}, FIRST[2])]), "ensemble_scheduling.step[0].input_map"),
    ("no outputs", ensemble(["A", "B"], ["S"], [("first", FIRST[1], {})]), "ensemble_scheduling.step[0].output_map"),
    ("instances", ensemble(["A", "B"], ["S"], [FIRST], more="instance_group { count: 1 }"), "instance_group[0]"),
    ("optimization", ensemble(["A", "B"], ["S"], [FIRST], more="optimization { priority: 0 }"), "optimization"),
    (
        "written twice",
        ensemble(["A", "B"], ["S"], [FIRST, ("second", FIRST[1], {"OUTPUT1": "S"})]),
        'ensemble_scheduling.step[1].output_map["OUTPUT1"]',
    ),
    (
        "writes an input",
        ensemble(["A", "B"], ["S"], [("first", FIRST[1], {"OUTPUT0": "S", "OUTPUT1": "A"})]),
        'ensemble_scheduling.step[0].output_map["OUTPUT1"]',
    ),
    ("input unused", ensemble(["A", "B", "C"], ["S"], [FIRST]), "input[2].name"),
    ("output unwritten", ensemble(["A", "B"], ["S", "T"], [FIRST]), "output[1].name"),
    ("straight through", ensemble(["A", "B"], ["S", "A"], [FIRST]), "output[1].name"),
    (
        "not connected",
        ensemble(
            ["A", "B"],
            ["S"],
            [("first", {"INPUT0": "A", "INPUT1": "x"}, {"OUTPUT0": "S"}), (*FIRST[:2], {"OUTPUT1": "y"})],
        ),
        "output[0].name",
    ),
    (
        "unused between",
        ensemble(["A", "B"], ["S"], [("first", FIRST[1], {"OUTPUT0": "S", "OUTPUT1": "x"})]),
        'ensemble_scheduling.step[0].output_map["OUTPUT1"]',
    ),
    ("a backend", ensemble(["A", "B"], ["S"], [FIRST], more='backend: "onnxruntime"'), "backend"),
    ("no platform", ensemble(["A", "B"], ["S"], [FIRST]).replace('platform: "ensemble"', ""), "platform"),
    ("other platform", ensemble(["A", "B"], ["S"], [FIRST]).replace('"ensemble"', '"onnxruntime_onnx"'), "platform"),
]


@pytest.mark.parametrize(("text", "field"), [case[1:] for case in ALONE], ids=[case[0] for case in ALONE])
def test_judged_alone(repository: Path, text: str, field: str):
    write_ensemble(repository, "wrong", text)
    problems = [problem for problem in check_repository(repository, "wrong") if problem.blocks]
    assert field in [problem.field for problem in problems]
    assert all(problem.found and problem.expected and problem.fix for problem in problems)
    with Engine(repository) as engine:
        assert ready(engine) == {"first", "second", "third", "ids", "pipe"}
        assert field.split("[")[0] in reason(engine, "wrong")


# --- judged with the models of their steps ---

TOGETHER = [
    ("unknown version", [("first:7", *FIRST[1:])], "'first' whose required version 7 is not loaded"),
    (
        "unknown input",
        [("first", {"INPUT0": "A", "X": "B"}, FIRST[2])],
        "input 'INPUT1' of model 'first' is not mapped",
    ),
    (
        "one input too many",
        [("first", {"INPUT0": "A", "INPUT1": "B", "X": "B"}, FIRST[2])],
        "model 'first' has no input 'X'",
    ),
    (
        "unknown output",
        [("first", FIRST[1], {"X": "S"})],
        "model 'first' has no output 'X': it has 'OUTPUT0', 'OUTPUT1'",
    ),
]


@pytest.mark.parametrize(("steps", "words"), [case[1:] for case in TOGETHER], ids=[case[0] for case in TOGETHER])
def test_judged_with_its_models(repository: Path, steps: list[Step], words: str):
    write_ensemble(repository, "wrong", ensemble(["A", "B"], ["S"], steps))
    assert words in check_repository(repository, "wrong")[0].found
    with Engine(repository) as engine:
        assert "wrong" not in ready(engine)
        assert words in reason(engine, "wrong")
        with pytest.raises(NotFoundError):
            engine.infer("wrong", PAIR)


@pytest.mark.parametrize(
    ("inputs", "outputs", "batch", "words"),
    [
        (["A", tensor("B", kind="INT32")], ["S"], 8, "inconsistent data type of ensemble tensor 'B'"),
        (["A", tensor("B", dims="4")], ["S"], 8, "inconsistent shape of ensemble tensor 'B'"),
        (["A", "B"], [tensor("S", dims="4")], 8, r"\[-1, 16\] is inferred from model 'first' while \[-1, 4\]"),
        (["A", "B"], ["S"], 9, "allows maximum batch size 9, but it contains model 'first' which only allows"),
    ],
)
def test_types_shapes_and_batches_agree(repository: Path, inputs: list, outputs: list, batch: int, words: str):
    write_ensemble(repository, "wrong", ensemble(inputs, outputs, [FIRST], batch))
    with Engine(repository, options=EXPLICIT) as engine, pytest.raises(InvalidArgumentError, match=words):
        engine.load("wrong")
    assert check_repository(repository, "wrong") != []


@pytest.mark.parametrize("dims", ["16", "-1"])
def test_what_varies_agrees_with_everything(repository: Path, dims: str):
    text = ensemble([tensor("A", dims), "B"], [tensor("S", dims)], [FIRST])
    write_ensemble(repository, "right", text)
    assert check_repository(repository, "right") == []
    with Engine(repository) as engine:
        assert engine.infer("right", PAIR).outputs["S"].tolist() == [[2.0] * 16]


def test_a_model_that_is_not_there_is_told(repository: Path):
    write_ensemble(repository, "wrong", ensemble(["A", "B"], ["S"], [("nowhere", *FIRST[1:])]))
    assert check_repository(repository, "wrong")[0].found == "models that are not there: nowhere"
    with Engine(repository) as engine:
        assert "contains models that are not available or ambiguous: nowhere" in reason(engine, "wrong")


@pytest.mark.parametrize("batch", [0, 8])
def test_reshape_is_between_clients_and_steps(repository: Path, batch: int):
    write_model(
        repository,
        "inner",
        onnx_models.identity(shape=("N", 4, 1, 2) if batch else (4, 1, 2)),
        f"max_batch_size: {batch}",
    )
    outer = (
        tensor("IN", "8", more="reshape { shape: [ 4, 1, 2 ] }"),
        tensor("OUT", "8", more="reshape { shape: [ 4, 1, 2 ] }"),
    )
    steps = [("inner", {"INPUT0": "IN"}, {"OUTPUT0": "OUT"})]
    write_ensemble(repository, "reshaped", ensemble([outer[0]], [outer[1]], steps, batch))
    assert check_repository(repository, "reshaped") == []
    given = np.arange(16, dtype=np.float32).reshape(2, 8) if batch else np.arange(8, dtype=np.float32)
    with Engine(repository) as engine:
        assert engine.infer("reshaped", {"IN": given}).outputs["OUT"].tolist() == given.tolist()


def test_how_deep_ensembles_may_be_nested(tmp_path: Path):
    write_model(tmp_path, "e0", onnx_models.identity())
    outer = tensor("INPUT0", "4"), tensor("OUTPUT0", "4")
    for level in range(1, 601):
        steps = [(f"e{level - 1}", {"INPUT0": "INPUT0"}, {"OUTPUT0": "OUTPUT0"})]
        write_ensemble(tmp_path, f"e{level}", ensemble([outer[0]], [outer[1]], steps, 4))
    row = {"INPUT0": np.ones((1, 4), np.float32)}
    with Engine(tmp_path, options=EXPLICIT) as engine:
        engine.load("e64")
        assert engine.infer("e64", row).outputs["OUTPUT0"].tolist() == [[1] * 4]
        for level in (65, 600):
            with pytest.raises(InvalidArgumentError, match=f"nested more than 64 deep: e{level} -> e{level - 1} -> "):
                engine.load(f"e{level}")
    (problem,) = check_repository(tmp_path, "e600")
    assert "nested more than 64 deep" in problem.found


def test_a_circle_is_told_and_holds_up_nobody(repository: Path):
    for name, other in (("one", "two"), ("two", "three"), ("three", "one")):
        steps = [(other, {"A": "A", "B": "B"}, {"S": "S"})]
        write_ensemble(repository, name, ensemble(["A", "B"], ["S"], steps))
    (problem,) = check_repository(repository, "one")
    assert problem.found == "circular dependency between ensembles: one -> two -> three -> one"
    with Engine(repository) as engine:
        assert ready(engine) == {"first", "second", "third", "ids", "pipe"}
        assert "circular dependency between ensembles: one -> two -> three -> one" in reason(engine, "one")
    start = time.monotonic()
    with Engine(repository, options=EXPLICIT) as engine, pytest.raises(InvalidArgumentError):
        engine.load("one")
    assert time.monotonic() - start < 30


# --- coming and going ---


def test_loading_an_ensemble_loads_what_it_is_made_of(repository: Path):
    steps = [
        ("pipe", {"A": "A", "B": "B"}, {"TWICE": "t", "DIFFERENCE": "d"}),
        ("third", {"INPUT0": "t", "INPUT1": "d"}, {"OUTPUT0": "ALL"}),
    ]
    write_ensemble(repository, "outer", ensemble(["A", "B"], ["ALL"], steps))
    with Engine(repository, options=EXPLICIT) as engine:
        engine.load("outer")
        assert ready(engine) == {"first", "second", "third", "pipe", "outer"}
        assert engine.infer("outer", PAIR).outputs["ALL"].tolist() == [[3.0] * 16]
        engine.unload("outer", unload_dependents=True)
        until(lambda: ready(engine) == set())


def test_a_model_that_was_loaded_by_itself_or_is_used_elsewhere_stays(repository: Path):
    write_ensemble(repository, "other", ensemble(["A", "B"], ["S"], [FIRST]))
    with Engine(repository, options=EXPLICIT) as engine:
        engine.load("second")
        engine.load("other")
        engine.load("pipe")
        engine.unload("pipe", unload_dependents=True)
        until(lambda: ready(engine) == {"first", "second", "other"})
        engine.unload("other")
        assert ready(engine) == {"first", "second"}


def test_an_ensemble_whose_model_is_gone_says_so_and_comes_back(repository: Path, caplog: pytest.LogCaptureFixture):
    with Engine(repository, options=EXPLICIT) as engine:
        engine.load("pipe")
        engine.unload("second")
        assert ready(engine) == {"first"}
        words = "depends on 'second' which has no loaded version"
        assert words in reason(engine, "pipe")
        assert f"ensemble 'pipe' is not ready any more: ensemble 'pipe' {words}" in caplog.text
        assert not engine.model_ready("pipe")
        assert engine.ready()
        with pytest.raises(NotFoundError, match=words):
            engine.infer("pipe", PAIR)
        with pytest.raises(NotFoundError, match=words):
            engine.model_metadata("pipe")
        engine.load("second")
        assert ready(engine) == {"first", "second", "pipe"}
        assert engine.infer("pipe", PAIR).outputs["TWICE"].tolist() == [[3.0] * 16]


def test_loading_an_ensemble_again_brings_back_what_is_missing(repository: Path):
    with Engine(repository, options=EXPLICIT) as engine:
        engine.load("pipe")
        engine.unload("second")
        engine.load("pipe")
        assert ready(engine) == {"first", "second", "pipe"}


def test_a_model_that_comes_back_otherwise_stops_the_ensemble(repository: Path):
    with Engine(repository, options=EXPLICIT) as engine:
        engine.load("pipe")
        write_model(repository, "second", onnx_models.add_sub(shape=("N", 4)), "max_batch_size: 8")
        engine.load("second")
        assert ready(engine) == {"first", "second"}
        assert "inconsistent shape of ensemble tensor 'A'" in reason(engine, "pipe")
        with pytest.raises(InvalidArgumentError, match="inconsistent shape"):
            engine.load("pipe")


def test_a_fixed_version_is_that_version(repository: Path):
    write_model(repository, "first", onnx_models.add_sub(), version=2)
    text = (repository / "first" / "config.pbtxt").read_text()
    (repository / "first" / "config.pbtxt").write_text(text + "version_policy { all { } }")
    write_ensemble(repository, "old", ensemble(["A", "B"], ["S"], [("first:1", *FIRST[1:])]))
    with Engine(repository) as engine:
        engine.infer("old", PAIR)
        assert [engine.model("first", version).statistics.success_count for version in ("1", "2")] == [1, 0]
        engine.infer("pipe", PAIR)
        assert [engine.model("first", version).statistics.success_count for version in ("1", "2")] == [1, 1]


def test_labels_are_those_of_the_model_that_makes_the_output(repository: Path):
    text = (repository / "first" / "config.pbtxt").read_text()
    named = text.replace('name: "OUTPUT0" data_type', 'label_filename: "labels.txt" name: "OUTPUT0" data_type')
    (repository / "first" / "config.pbtxt").write_text(named)
    (repository / "first" / "labels.txt").write_text("".join(f"class {index}\n" for index in range(16)))
    write_ensemble(repository, "named", ensemble(["A", "B"], ["S"], [FIRST]))
    with Engine(repository) as engine:
        assert engine.model("named").spec.labels["S"][3] == "class 3"


def test_names_that_cannot_be_loaded_are_not_remembered(repository: Path):
    with Engine(repository, options=EXPLICIT) as engine:
        for number in range(50):
            with pytest.raises(InternalError):
                engine.load(f"nobody{number}")
        engine.load("first")
        assert engine._control._asked == {"first"}
        engine.unload("first")
        assert engine._control._asked == set()


def test_why_an_ensemble_could_not_be_loaded_is_in_the_index(repository: Path):
    write_ensemble(repository, "wrong", ensemble(["A", "B"], ["S"], [("nowhere", *FIRST[1:])]))
    with Engine(repository, options=EXPLICIT) as engine:
        with pytest.raises(InvalidArgumentError, match="not available or ambiguous: nowhere"):
            engine.load("wrong")
        assert "not available or ambiguous: nowhere" in reason(engine, "wrong")
