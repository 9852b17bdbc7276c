"""What a variant answers is compared with what the original answers, on real models."""

import json
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import batching_models as graphs
import guarded_models as models
import python_models
import row_models
import sequence_models
from analysis_runs import write_fixed_model
from python_models import write_python_model
from repositories import write_model
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.guard import Accuracy, Guard, GuardOptions, Tolerance
from tcli_analyzer.inputs import RandomSource, Source
from tcli_analyzer.subject import examine, find_model
from tcli_analyzer.target import EngineTarget
from tcli_analyzer.workspace import Workspace

Build = Callable[[Path], Path]


def checked(
    repository: Path,
    variants: Sequence[Configuration] | None = None,
    source: Source | None = None,
    rewritten: Path | None = None,
    **options: object,
) -> dict[str, Accuracy]:
    """What is found, by the labels of the variants; those of the grid without any given."""
    config = models.complete_config(repository)
    wanted = variants or [models.current(config), *(models.varied(config, size) for size in (1, 4, 8))]
    places = {False: repository, True: rewritten or repository}
    own, inputs = models.current(config), source or models.rows_of(64, 4)
    found = Guard(places, "m", own, inputs, threading.Event(), GuardOptions(**options)).check(wanted)
    assert list(found) == list(wanted)
    return {one.label: accuracy for one, accuracy in found.items()}


def against(tmp_path: Path, build: Build, other: Build, config: str, source: Source, **options: object) -> Accuracy:
    """What is found of a rewritten graph that is another one."""
    graphs.write(tmp_path / "own", "m", build, config)
    graphs.write(tmp_path / "rewritten", "m", other, config)
    config = models.complete_config(tmp_path / "own")
    variant = models.varied(config, config.max_batch_size, rewritten=True)
    (found,) = checked(tmp_path / "own", [variant], source, tmp_path / "rewritten", **options).values()
    return found


@pytest.mark.parametrize(
    ("build", "dims", "output_dims", "shape", "says"),
    [
        (lambda path: graphs.recurrent(path, None, None), "[ 1, 3 ]", "[ -1, 4 ]", (1, 3), "node 'lstm' (LSTM)"),
        (graphs.quantized, "[ 8 ]", "[ 5 ]", (8,), "(DynamicQuantizeLinear)"),
        (graphs.normalizes_over_the_batch, "[ 4 ]", "[ 4 ]", (4,), "'over_the_batch' (ReduceMean)"),
    ],
)
def test_batches_along_a_wrong_axis_cannot_win(tmp_path, build, dims, output_dims, shape, says):
    """The owner's either: its answers alone are the right ones."""
    graphs.write(tmp_path, "m", build, graphs.config_of("m", 8, dims, output_dims))
    found = checked(tmp_path, source=models.rows_of(16, *shape))
    for label in ("current", "batch 4, 1 instances", "batch 8, 1 instances"):
        assert found[label].verdict == "wrong"
        assert not found[label].may_win
        assert says in found[label].reason
    assert found["batch 1, 1 instances"].may_win


def test_right_ones_may_win(tmp_path):
    graphs.write(tmp_path, "m", graphs.pools_four, graphs.config_of("m", 8, "[ 9 ]", "[ -1 ]"))
    found = checked(tmp_path, source=RandomSource({"x": (9,)}))
    assert {one.verdict for one in found.values()} == {"ok"}
    assert found["batch 4, 1 instances"].batches == (2, 3)
    largest = found["batch 8, 1 instances"]
    assert (largest.items, largest.batches, largest.lower_precision) == (16, (2, 3, 8), False)
    assert largest.sentence == "16 inputs, alone and in batches of 2, 3, 8: the same to the last bit"
    assert json.loads(json.dumps(largest.to_json(), allow_nan=False))["outputs"]["y"]["largest_relative"] == 0


@pytest.mark.parametrize("reshapes", [True, False])
def test_a_rewritten_graph_has_another_first_dimension(tmp_path, reshapes):
    """A client of the original sends [1, 2, 4, 4] or [2, 4, 4], and the variant's items are [2, 4, 4]."""
    write_fixed_model(tmp_path, "m")
    if not reshapes:
        (tmp_path / "m" / "config.pbtxt").write_text('backend: "onnxruntime"')
    with Workspace(find_model([tmp_path], "m")) as workspace:
        with EngineTarget(workspace.current, "m") as target:
            subject = examine(find_model([tmp_path], "m"), target.load(), {}, workspace, lambda _: None)
        variants = [models.varied(subject.base, size, rewritten=True) for size in (1, 8)]
        source = RandomSource(subject.shapes)
        places = {False: workspace.current, True: workspace.rewritten}
        guard = Guard(places, "m", subject.current, source, threading.Event())
        found = guard.check([subject.current, *variants])
    assert [one.verdict for one in found.values()] == ["ok"] * 3
    largest = found[variants[1]]
    assert (largest.items, largest.batches) == (16, (2, 3, 8))
    assert largest.relative < 1e-5
    if reshapes:  # it has a file of labels
        assert largest.top1 is not None
        assert (largest.top1.same, largest.top1.count) == (16, 16)


def test_another_graph_is_told_with_place_and_numbers(tmp_path):
    source = models.Given([{"x": np.array([1, 2, 3, 4], np.float32)}, {"x": np.array([5, 6, 7, -8], np.float32)}])
    wrong = against(tmp_path, models.scaled, lambda path: models.scaled(path, 2.02), models.config_for(), source)
    assert wrong.verdict == "wrong"
    assert wrong.reason == (
        "output 'y' differs from the original's by 1 % of the largest value, rounding explains 0.1 %: "
        "item 0, element [3] alone is 8.08, the original's 8"
    )
    assert (wrong.outputs[0].absolute, wrong.outputs[0].equal) == (pytest.approx(0.16, rel=1e-4), 0)


def test_a_tolerance_can_be_set(tmp_path):
    options = {"same_precision": Tolerance(relative=0.02)}
    other = lambda path: models.scaled(path, 2.02)  # noqa: E731
    found = against(tmp_path, models.scaled, other, models.config_for(), models.rows_of(8, 4), **options)
    assert found.verdict == "ok"
    assert found.relative == pytest.approx(0.01, rel=1e-3)


def test_classes_are_counted(tmp_path):
    """Five inputs are too few for an interval that says anything."""
    wide = {"same_precision": Tolerance(relative=9, agreement=0.9)}
    sharper = lambda path: models.classes(path, 2)  # noqa: E731
    found = against(tmp_path, models.classes, sharper, models.config_for(), models.rows_of(5, 4), **wide)
    assert found.verdict == "unchecked"
    assert not found.may_win
    assert "5 of 5 (57 to 100 %)" in found.reason
    assert "35 that all agree are the least that suffices" in found.reason


def test_numbers_of_classes_must_agree(tmp_path):
    config = models.config_for(output="[ 1 ]", kind="INT64")
    other = lambda path: models.best_class(path, "ArgMin")  # noqa: E731
    found = against(tmp_path, models.best_class, other, config, models.rows_of(20, 4))
    assert found.verdict == "wrong"
    assert "output 'y': 0 % of 20 elements are the original's, expected 100 %" in found.reason
    assert found.top1 is not None
    assert found.top1.same == 0


def test_rows_that_a_detector_finds_are_counted(tmp_path):
    config, source = models.config_for("[ -1 ]", "[ -1 ]", 0), models.rows_of(20, 50)
    other = lambda path: models.found_rows(path, 0.1)  # noqa: E731
    found = against(tmp_path, models.found_rows, other, config, source)
    assert found.verdict == "wrong"
    assert "output 'y' has another shape or datatype than the original's for" in found.reason
    assert found.outputs[0].other_shapes > 10


def test_what_is_no_number_has_to_be_so_in_the_variant(tmp_path):
    config, source = models.config_for(), models.rows_of(20, 4)
    other = lambda path: models.logarithm(path, "magnitude")  # noqa: E731
    found = against(tmp_path, models.logarithm, other, config, source, same_precision=Tolerance(relative=1.0))
    assert found.verdict == "wrong"
    assert "is not finite where the original's is, or the other way round" in found.reason
    assert "the original's nan" in found.reason
    assert math.isinf(found.relative)
    json.dumps(found.to_json(), allow_nan=False)


def test_a_random_model_is_not_judged(tmp_path):
    """What changes nothing may win all the same."""
    row_models.write_rows(tmp_path, "x + np.random.rand(*x.shape)")
    config = models.complete_config(tmp_path)
    variants = [models.current(config), models.varied(config, 8), models.varied(config, 1, 2)]
    found = checked(tmp_path, variants, models.rows_of(8, 4))
    assert {one.verdict for one in found.values()} == {"unchecked"}
    (reason,) = {one.reason for one in found.values()}
    assert reason.startswith("the original does not give the same answer twice: output 'y' differs by ")
    assert [one.may_win for one in found.values()] == [True, False, True]


def test_each_item_of_a_stateful_model_is_a_sequence_of_its_own(tmp_path):
    write_model(tmp_path, "m", sequence_models.sums(), sequence_models.sums_config())
    source = models.Given([{"INPUT": np.array([place], np.int32)} for place in range(8)])
    (found,) = checked(tmp_path, [models.current(models.complete_config(tmp_path))], source).values()
    assert (found.verdict, found.items, found.batches) == ("ok", 8, (2, 3, 4))


def test_inputs_that_the_original_refuses(tmp_path):
    graphs.write(tmp_path, "m", graphs.pools_four, graphs.config_of("m", 8, "[ -1 ]", "[ -1 ]"))
    found = checked(tmp_path, source=RandomSource({"x": (1,)}))
    (reason,) = {one.reason for one in found.values()}
    assert reason.startswith("the original answers none of 16 inputs: ")
    assert "MaxPool" in reason
    assert {one.verdict for one in found.values()} == {"unchecked"}
    some = models.Given([*models.rows_of(2, 1).items, *models.rows_of(6, 9).items])
    found = checked(tmp_path, source=some)
    (note,) = found["batch 8, 1 instances"].notes
    assert note.startswith("2 inputs that the original refuses were left out: ")
    assert found["batch 8, 1 instances"].items == 6


def test_inputs_of_several_shapes(tmp_path):
    """Only those of one shape share a batch; the others are compared alone."""
    graphs.write(tmp_path, "m", graphs.pools_four, graphs.config_of("m", 8, "[ -1 ]", "[ -1 ]"))
    mixed = models.Given([*models.rows_of(3, 5).items, *models.rows_of(9, 7).items])
    found = checked(tmp_path, source=mixed)["batch 8, 1 instances"]
    assert (found.verdict, found.items, found.batches) == ("ok", 12, (2, 3, 8))


def test_a_variant_that_does_not_answer(tmp_path):
    source = models.Given([{"x": np.array([row] * 4, np.float32)} for row in range(8)])
    other = lambda path: models.looked_up(path, 5)  # noqa: E731
    found = against(tmp_path, models.looked_up, other, models.config_for(), source)
    assert found.verdict == "wrong"
    assert found.reason.startswith("it fails on item 5, which the original answers: ")


def test_a_variant_that_does_not_load(tmp_path):
    graphs.write(tmp_path / "own", "m", models.scaled, models.config_for())
    (tmp_path / "rewritten" / "m" / "1").mkdir(parents=True)
    variant = models.varied(models.complete_config(tmp_path / "own"), 8, rewritten=True)
    (found,) = checked(tmp_path / "own", [variant], rewritten=tmp_path / "rewritten").values()
    assert not found.may_win
    assert "does not load" in found.reason


def test_decoupled_models_are_not_compared(tmp_path):
    write_python_model(tmp_path, "m", python_models.REPEAT, python_models.REPEAT_CONFIG)
    (found,) = checked(tmp_path, [models.current(models.complete_config(tmp_path))]).values()
    assert found.verdict == "unchecked"
    assert "decoupled" in found.reason


def test_leaders_are_asked_for_as_they_are_found(tmp_path):
    """The original is asked once, and what a larger batch has shown holds for smaller ones."""
    graphs.write(tmp_path, "m", models.scaled, models.config_for())
    config = models.complete_config(tmp_path)
    told: list[str] = []
    options = GuardOptions(seconds=5)
    source = models.rows_of(8, 4)
    places = {False: tmp_path}
    guard = Guard(places, "m", models.current(config), source, threading.Event(), options, told.append)
    two = models.varied(config, 2)
    assert guard.check([]) == {}
    assert not told
    assert guard.check([two])[two].batches == (2,)
    for size, batches in ((8, (2, 3, 8)), (4, (2, 3)), (1, ())):
        for instances in (1, 2):
            variant = models.varied(config, size, instances)
            (found,) = guard.check([variant]).values()
            assert (found.verdict, found.batches) == ("ok", batches)
    assert told == [
        "asking the model as it is for the right answers ...",
        "comparing the answers of batch 2, 1 instances ...",
        "comparing the answers of batch 8, 1 instances ...",
    ]


def test_one_random_output_of_two(tmp_path):
    """What can be compared is: a wrong answer is one, whatever else is random."""
    code = """
class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "x").as_numpy()) for request in requests]

    def answer(self, x):
        noise = np.random.rand(*x.shape).astype(np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", FACTOR * x), pb_utils.Tensor("z", noise)])
"""
    config = row_models.python_config('output { name: "z" data_type: TYPE_FP32 dims: [ 4 ] }')
    for place, factor in (("own", 1), ("wrong", 2)):
        write_python_model(tmp_path / place, "m", code.replace("FACTOR", f"np.float32({factor})"), config)
    own = models.complete_config(tmp_path / "own")
    variants = [models.varied(own, 8), models.varied(own, 8, rewritten=True)]
    same, other = (
        checked(tmp_path / "own", [one], models.rows_of(8, 4), tmp_path / "wrong")[one.label] for one in variants
    )
    assert same.verdict == "unchecked"
    assert "output 'z' differs by" in same.reason
    assert [one.name for one in same.outputs] == ["y"]
    assert other.verdict == "wrong"
    assert other.reason.startswith("output 'y' differs from the original's by 100 % of the largest value")
