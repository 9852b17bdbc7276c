"""No batch size above 1 is recommended before a batch was seen to give what single items give."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from onnx import helper

import batching_models as graphs
import python_models
import row_models
from analysis_runs import SMALL, Done, Recorder, run
from measured_points import finals, point
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.point import Point
from tcli_analyzer.recommendation import Outcome, recommend

pytestmark = pytest.mark.long

FEW = replace(SMALL, instances=(1,))


def analyze(tmp_path: Path, build, config: str, output: Path | None = None, **more: object) -> Done:
    repository = graphs.write(tmp_path / "models", "m", build, config)
    return run(repository, "m", output, **{"space": FEW, **more})


def sizes(done: Done) -> set[int]:
    """That were measured, or run as one that was."""
    points = done.analysis.points
    return {each.max_batch_size for one in points for each in (one.configuration, *one.same)}


def nameless(path: Path) -> Path:
    return graphs.recurrent(path, None, None)


@pytest.mark.parametrize(
    ("build", "dims", "output_dims", "says"),
    [
        (nameless, "[ 1, 3 ]", "[ -1, 4 ]", "(LSTM) does not keep the items apart"),
        (graphs.normalizes_over_the_batch, "[ 4 ]", "[ 4 ]", "'over_the_batch' (ReduceMean)"),
        (graphs.quantized, "[ 8 ]", "[ 5 ]", "is not what 2 single items give"),
    ],
)
def test_wrong_batches_are_named_and_never_recommended(tmp_path, build, dims, output_dims, says):
    """The owner's configuration batches: it is measured, to be compared with, but not kept."""
    done = analyze(tmp_path, build, graphs.config_of("m", 8, dims, output_dims), tmp_path / "out")
    assert sizes(done) == {8, 1}
    found = done.analysis.recommendation
    assert found.chosen.configuration.max_batch_size == 1
    assert not found.keeps_current
    assert found.outcome in (Outcome.TAKE, Outcome.UNDECIDED)  # undecided on a busy machine
    if found.outcome is Outcome.TAKE:
        assert "current configuration's batches give other answers than single items" in found.sentence()
    (note,) = [note for note in done.analysis.notes if note.startswith("batches give other answers")]
    assert says in note
    document = json.loads(done.written.json.read_text())
    assert says in document["batchable"]["wrong_batches"]
    assert "max_batch_size: 1" in done.written.config.read_text()


def test_right_batches_are_checked_and_swept(tmp_path):
    done = analyze(tmp_path, graphs.pools_four, graphs.config_of("m", 2, "[ 9 ]", "[ -1 ]"), tmp_path / "out")
    assert sizes(done) == {2, 1, 4}
    assert any(
        note.startswith("checked: batches of 2, 3, 8 give what single items give") for note in done.analysis.notes
    )
    assert json.loads(done.written.json.read_text())["batchable"]["checked_batch_sizes"] == [2, 3, 8]


def test_what_cannot_be_checked_is_not_batched_more_than_its_owner_does(tmp_path):
    done = analyze(
        tmp_path,
        graphs.answers_always_the_same,
        graphs.config_of("m", 2, "[ 4 ]", "[ 4 ]"),
        space=replace(SMALL, max_batch_sizes=(1, 2, 4), instances=(1,), concurrency=(1, 4)),
    )
    assert sizes(done) == {2, 1}
    assert any("no batch size above the current max_batch_size is tried" in note for note in done.analysis.notes)


def test_only_large_sizes_wanted_of_a_model_with_wrong_batches(tmp_path):
    config = graphs.config_of("m", 8, "[ 4 ]", "[ 4 ]")
    done = analyze(
        tmp_path,
        graphs.normalizes_over_the_batch,
        config,
        space=replace(SMALL, max_batch_sizes=(4, 8), instances=(1,), concurrency=(1,)),
    )
    assert sizes(done) == {8, 1}


def test_a_format_does_not_survive_the_loss_of_a_dimension(tmp_path):
    """Sound features that were taken for a grey picture: every batched point failed."""
    config = graphs.config_of("m", 0, "[ 1, 16, 96 ]", "[ 1, 1 ]", "format: FORMAT_NCHW")
    done = analyze(tmp_path, graphs.sound_features, config)
    assert not done.analysis.failures
    assert sizes(done) == {0, 1, 4}


def test_points_that_fail_are_named_in_the_notes(tmp_path):
    """The model file vanishes, as from a network drive, once the current configuration is measured."""

    class Vanishing(Recorder):
        def measured(self, point: Point, seconds_left: float) -> None:
            super().measured(point, seconds_left)
            (tmp_path / "models" / "m" / "1" / "model.onnx").unlink(missing_ok=True)

    config = graphs.config_of("m", 1, "[ 9 ]", "[ -1 ]")
    done = analyze(tmp_path, graphs.pools_four, config, tmp_path / "out", recorder=Vanishing(), space=SMALL)
    assert {one.configuration.max_batch_size for one in done.analysis.points} == {1}
    assert {failure.configuration.label for failure in done.analysis.failures} >= {
        "batch 4, 1 instance",
        "batch 1, 2 instances",
        "batch 4, 2 instances",
    }
    assert set(done.recorder.failures) <= set(done.analysis.failures)
    notes = [note for note in done.analysis.notes if note.startswith("not measured: batch 4, 1 instance, concurrency ")]
    assert "model.onnx" in notes[0]
    assert notes[0] in json.loads(done.written.json.read_text())["notes"]
    assert done.analysis.only_current
    assert not replace(done.analysis, failures=[]).only_current
    assert not replace(done.analysis, points=[*done.analysis.points, point(4, 1, [10] * 3)]).only_current


def test_a_wrong_configuration_that_is_all_there_is_is_called_wrong():
    wrong = point(8, 1, [90] * 4, current=True)
    wrong = replace(wrong, configuration=replace(wrong.configuration, wrong_batches=True))
    found = recommend(finals([wrong]), [], None)
    assert found.sentence().startswith("Do not keep the current configuration")
    faster = recommend(finals([wrong, point(1, 1, [10] * 4)]), [], None)
    assert faster.chosen.configuration.label == "batch 1, 1 instance"
    assert faster.baseline is wrong


def test_what_could_not_be_measured_well_stands_before_what_is_wrong():
    wrong = point(8, 1, [90] * 4, current=True)
    wrong = replace(wrong, configuration=replace(wrong.configuration, wrong_batches=True))
    right = point(1, 1, [10] * 4)
    right = replace(right, windows=Windows([replace(one, flaw="odd") for one in right.windows.windows]))
    found = recommend(finals([wrong, right]), [], None)
    assert found.outcome is Outcome.UNDECIDED
    assert found.chosen is right


def test_the_check_takes_sizes_with_which_the_model_runs(tmp_path):
    """With a length of 1, as measured without --shape, nothing could be compared."""
    build = partial(graphs.recurrent, time="batch", batch="length")
    done = analyze(tmp_path, build, graphs.config_of("m", 0, "[ -1, -1, 3 ]", "[ -1, -1, 4 ]"))
    assert sizes(done) == {0}
    assert "does not keep the items apart" in done.analysis.subject.not_batchable


@pytest.mark.parametrize("policy", ["", "version_policy { specific { versions: [ 3 ] } }"])
def test_a_model_whose_only_version_is_not_1(tmp_path, policy):
    """Its working copy must be served by the same version policy."""
    config = graphs.config_of("m", 0, "[ -1, 9 ]", "[ -1, -1 ]") + policy
    repository = graphs.write(tmp_path / "models", "m", graphs.pools_four, config)
    (repository / "m" / "1").rename(repository / "m" / "3")
    done = run(repository, "m", tmp_path / "out", space=FEW)
    assert not done.analysis.failures
    assert sizes(done) == {0, 1, 4}
    assert ("version_policy" in done.written.config.read_text()) == bool(policy)


def test_a_version_that_the_policy_chooses_stays_chosen(tmp_path):
    """Version 10 is newer than 9 and 2, but the owner serves 9."""
    policy = "version_policy { specific { versions: [ 2, 9 ] } }"
    config = graphs.config_of("m", 0, "[ -1, 9 ]", "[ -1, -1 ]") + policy
    repository = graphs.write(tmp_path / "models", "m", graphs.pools_four, config)
    for version in ("2", "9", "10"):
        graphs.pools_four(repository / "m" / version / "model.onnx")
    done = run(repository, "m", None, space=replace(SMALL, max_batch_sizes=(4,), instances=(1,), concurrency=(4,)))
    assert not done.analysis.failures
    batched = [one for one in done.analysis.points if not one.configuration.current]
    assert [list(one.configuration.config.version_policy.specific.versions) for one in batched] == [[9]]


def test_the_version_that_is_checked_is_the_newest_by_number(tmp_path):
    """Version 9 mixes its rows, version 10 does not, and 10 is served."""
    config = graphs.config_of("m", 8, "[ 4 ]", "[ 4 ]")
    repository = graphs.write(tmp_path / "models", "m", graphs.normalizes_over_the_batch, config)
    (repository / "m" / "1").rename(repository / "m" / "9")
    graphs.save(
        repository / "m" / "10" / "model.onnx",
        [helper.make_node("Neg", ["x"], ["y"])],
        {"x": ["N", 4]},
        {"y": ["N", 4]},
    )
    done = run(repository, "m", None, space=replace(SMALL, max_batch_sizes=(4,), instances=(1,), concurrency=(1,)))
    assert done.analysis.subject.wrong_batches == ""
    assert done.analysis.subject.check.difference == 0


@pytest.mark.parametrize(("body", "verdict"), [("x * 2", "ok"), ("x - all_of_them.mean(0)", "wrong")])
def test_models_of_other_backends_are_checked_too(tmp_path, body, verdict):
    row_models.write_rows(tmp_path / "models", body, "m", "dynamic_batching {}")
    done = run(
        tmp_path / "models",
        "m",
        tmp_path / "out",
        space=replace(SMALL, max_batch_sizes=(1, 4), instances=(1,), concurrency=(1,)),
    )
    document = json.loads(done.written.json.read_text())
    assert document["batchable"]["verdict"] == verdict
    assert done.analysis.recommendation.chosen.configuration.max_batch_size == 1 or verdict == "ok"
    text = (
        "checked: batches of 2, 3, 8 give"
        if verdict == "ok"
        else "so batch sizes above 1 are not recommended: output 'y'"
    )
    assert any(text in note for note in document["notes"])
    assert text.split(":")[0] in done.written.report.read_text()


def test_a_shape_is_found_for_models_of_other_backends(tmp_path):
    """As for ONNX models: the smallest usual size with which a request is answered."""
    code = row_models.ROWS.replace("{body}", "x if x.shape[1] >= 4 else 1 / 0")
    config = row_models.python_config().replace("dims: [ 4 ]", "dims: [ -1 ]")
    python_models.write_python_model(tmp_path / "models", "m", code, config)
    done = run(tmp_path / "models", "m", None, space=replace(SMALL, instances=(1,), concurrency=(1,)))
    assert any("--shape x:4" in note for note in done.analysis.notes)
