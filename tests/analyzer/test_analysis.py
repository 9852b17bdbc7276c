"""A whole analysis on the real engine."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

import fixed_batch_models
import onnx_models
import ragged_models
from analysis_runs import FAST, SMALL, Recorder, run, write_fixed_model
from measured_points import BUSY, finals, point, window
from repositories import add_sub_config, write_model
from tcli_analyzer.analyze import analyze
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.notes import result_notes
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.output import recommended_config, write_output
from tcli_analyzer.point import Point
from tcli_analyzer.recommendation import Outcome, recommend
from tcli_analyzer.subject import find_model
from tcli_analyzer.workspace import Workspace
from tcli_server.engine import Engine
from tcli_server.errors import NotFoundError
from tcli_server.hardware.cores import usable_cores
from tcli_server.options import EngineOptions

pytestmark = pytest.mark.long


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_planned_point_is_measured_and_the_best_race_each_other(done):
    labels = [(point.configuration.label, point.load.concurrency) for point in done.analysis.points]
    assert {("current (no batching, 1 instance)", 1), ("current (no batching, 1 instance)", 4)} <= set(labels)
    assert len(labels) == len(set(labels)) == done.recorder.plans[0][0] == 2 + 2 * 3
    assert not done.recorder.failures
    assert done.recorder.plans[0][2] > 0
    assert done.recorder.finalists[0].configuration.current
    assert 2 <= len(done.recorder.finalists) <= 4
    assert done.recorder.rounds == done.analysis.finals.race.rounds >= 1


def test_batches_really_form(done):
    batched = [p for p in done.analysis.all_points if p.configuration.max_batch_size == 4 and p.load.concurrency == 4]
    assert batched
    assert any(point.measured.batch_avg > 1 for point in batched)


def test_the_model_was_made_batchable_and_that_is_said(done):
    assert done.analysis.subject.batchable.edits
    assert any("made batchable in a working copy" in note for note in done.recorder.notes)
    assert any("placeholder weights" in note and "timings are right" in note for note in done.recorder.notes)


def test_the_results_are_complete(done):
    frame = pd.read_csv(done.written.csv)
    document = json.loads(done.written.json.read_text())
    assert len(frame) == len(document["points"]) == len(done.analysis.points) + len(done.analysis.finals.points)
    assert set(frame["stage"]) == {"search", "final"}
    decided = done.analysis.recommendation.outcome in (Outcome.TAKE, Outcome.KEEP)
    assert frame["recommended"].sum() == decided
    assert len(document["finals"]["rounds"]) == done.analysis.finals.race.rounds
    for name in ("throughput_infer_per_s", "latency_p99_ms", "memory_mib"):
        assert (frame[name] >= 0).all()
    for name in (
        "queue_ms",
        "compute_infer_ms",
    ):  # not known of windows of a few ms in which the server counted nothing
        assert frame[name].any()
        assert (frame[name].dropna() >= 0).all()
    assert set(frame.columns) == set(document["points"][0])
    assert document["recommendation"]["configuration"] in set(frame["configuration"])
    assert document["placeholder_weights"] is True
    assert document["machine"]["cores"] >= 1


def test_the_users_repository_is_not_touched_and_no_working_copy_stays(tmp_path):
    repository = write_fixed_model(tmp_path / "models")
    before = files_of(repository)
    finished = run(repository, "fixed", tmp_path / "output", space=FEW)
    assert files_of(repository) == before
    assert not finished.temporary.exists()


@pytest.mark.parametrize("max_batch_size", [1, 4])
def test_the_recommended_folder_serves_the_same_answers(done, tmp_path, max_batch_size):
    # Whatever won here, write the output as if this configuration had.
    point = next(p for p in done.analysis.points if p.configuration.max_batch_size == max_batch_size)
    analysis = replace(done.analysis, finals=finals([point]))
    with Workspace(find_model([done.repository], "fixed")) as workspace:
        version = workspace.add_rewritten()
        (version / "model.onnx").write_bytes(done.written.model_file.read_bytes())
        written = write_output(analysis, workspace, tmp_path)
    assert written.recommends_model_file
    assert written.model_file == tmp_path / "recommended" / "fixed" / "1" / "model.onnx"
    text = written.config.read_text()
    assert "tcli analyze on " in text.splitlines()[0]
    assert "Requests now carry a batch dimension: x [n, 2, 4, 4]." in text
    x = np.random.default_rng(3).standard_normal((max_batch_size, 2, 4, 4)).astype(np.float32)
    with Engine(done.repository) as before, Engine(tmp_path / "recommended") as after:
        assert after.ready(), after.repository_index()
        assert after.model_config("fixed").max_batch_size == max_batch_size
        together = after.infer("fixed", {"x": x}).outputs["y"]
        singles = np.stack([before.infer("fixed", {"x": item}).outputs["y"] for item in x])
        assert after.model("fixed").spec.labels["y"] == list("abcde")
    np.testing.assert_allclose(together, singles, rtol=1e-4, atol=1e-5)


def test_every_configuration_of_the_sweep_loads_from_its_text(done, tmp_path):
    repository = write_fixed_model(tmp_path / "models")
    options = EngineOptions(model_control_mode="explicit")
    for best in {p.configuration: p for p in done.analysis.points}.values():
        text = recommended_config(done.analysis, recommend(finals([best]), [], None))
        (repository / "fixed" / "config.pbtxt").write_text(text)
        model = done.written.model_file if best.configuration.rewritten_model else None
        if model:
            (repository / "fixed" / "1" / "model.onnx").write_bytes(model.read_bytes())
        with Engine(repository, options=options) as engine:
            engine.load("fixed")
            assert len(engine.model("fixed").placements) == best.configuration.instances


def test_a_model_that_batches_is_swept_as_it_is(tmp_path):
    config = add_sub_config(max_batch_size=4)
    write_model(tmp_path / "models", "add_sub", onnx_models.add_sub(), config, **{"labels.txt": "a\n" * 16})
    finished = run(tmp_path / "models", "add_sub", tmp_path / "output")
    labels = {point.configuration.label for point in finished.analysis.points}
    assert labels == {
        "current (batch 4, 1 instance)",
        "batch 1, 1 instance",
        "batch 1, 2 instances",
        "batch 4, 2 instances",
    }
    assert finished.written.model_file is None


def test_a_ragged_model_is_swept_up_to_the_batches_that_it_has(tmp_path):
    write_model(tmp_path / "models", "m", ragged_models.ragged(), ragged_models.config(max_batch_size=2))
    finished = run(tmp_path / "models", "m", tmp_path / "output", space=FEW)
    assert {point.configuration.max_batch_size for point in finished.analysis.points} == {1, 2}
    assert not finished.recorder.failures
    assert any("batches give other answers" in note and "'SEEN_" in note for note in finished.recorder.notes)
    assert "BATCH_ITEM_SHAPE_FLATTEN" in finished.written.config.read_text()
    config = "\n".join(
        line for line in ragged_models.config(["OFFSETS"], max_batch_size=2).splitlines() if "SEEN" not in line
    )
    write_model(tmp_path / "models", "right", ragged_models.ragged(["OFFSETS"]), config)
    finished = run(tmp_path / "models", "right", None, space=FEW)
    assert {point.configuration.max_batch_size for point in finished.analysis.points} == {1, 2, 4}
    write_model(tmp_path / "models", "one", ragged_models.beside(), ONE)
    finished = run(tmp_path / "models", "one", None, space=FEW)
    assert {point.configuration.max_batch_size for point in finished.analysis.points} == {0}
    assert any("batches of its own kind" in note for note in finished.recorder.notes)


THREE = replace(SMALL, instances=(1,), concurrency=(1, 2, 4))
FEW = replace(SMALL, instances=(1,), concurrency=(4,))

ONE = """
backend: "onnxruntime"
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] allow_ragged_batch: true }, { name: "Y" data_type: TYPE_FP32 dims: [ 1, 4 ] } ]
output [ { name: "SAME" data_type: TYPE_FP32 dims: [ -1, -1 ] }, { name: "DOUBLE" data_type: TYPE_FP32 dims: [ 4 ] } ]
batch_output { target_name: "DOUBLE" source_input: "X" }
"""


def test_a_model_without_a_configuration_gets_a_complete_one(tmp_path):
    write_model(tmp_path / "models", "identity", onnx_models.identity())
    finished = run(tmp_path / "models", "identity", tmp_path / "output", space=FEW)
    assert "data_type: TYPE_FP32" in finished.written.config.read_text()


def test_a_model_that_cannot_be_made_batchable_is_swept_without_batches(tmp_path):
    fixed_batch_models.mixes_items(tmp_path / "models" / "mixer" / "1" / "model.onnx")
    finished = run(tmp_path / "models", "mixer", tmp_path / "output")
    assert {p.configuration.max_batch_size for p in finished.analysis.points} == {0}
    assert {p.configuration.instances for p in finished.analysis.points} == {1, 2}
    assert any("over_the_batch" in note and "cannot be made batchable" in note for note in finished.recorder.notes)
    assert finished.written.model_file is None


def test_stopping_keeps_what_was_measured(tmp_path):
    repository = write_fixed_model(tmp_path / "models")
    stop = threading.Event()

    class StopAfterTwo(Recorder):
        def measured(self, point: Point, seconds_left: float) -> None:
            super().measured(point, seconds_left)
            if len(self.points) == 2:
                stop.set()

    options = AnalysisOptions("fixed", (repository,), **{**FAST, "space": THREE})
    with Workspace(find_model([repository], "fixed")) as workspace:
        analysis = analyze(options, workspace, StopAfterTwo(), stop)
        written = write_output(analysis, workspace, tmp_path / "output")
    assert analysis.interrupted
    assert len(analysis.points) == len(pd.read_csv(written.csv)) == 2
    assert json.loads(written.json.read_text())["interrupted"] is True
    assert "stopped before its end" in written.config.read_text()


def test_an_unknown_model_names_those_there_are(done):
    with pytest.raises(NotFoundError, match="models there: fixed"):
        find_model([done.repository], "nope")


def test_notes_say_how_far_the_numbers_can_be_trusted(done):
    def notes(*points: Point, **more: object) -> str:
        return "\n".join(result_notes(replace(done.analysis, points=list(points), finals=None, failures=[], **more)))

    quiet = point(1, 1, [100] * 3)
    assert notes(quiet, quiet) == ""
    busy = point(1, 1, [100] * 3, processor=BUSY)
    assert "others disturbed 3 of 6 windows (up to 1.0 of" in notes(quiet, busy)
    assert "1 of 2 points have no undisturbed window" in notes(quiet, busy)
    half = replace(quiet, windows=Windows((window(100), window(50, processor=BUSY))))
    assert "no undisturbed window" not in notes(half)
    assert "cannot be seen here" in notes(point(1, 1, [100], processor=None))
    held = replace(quiet, windows=Windows((window(100, processor=replace(BUSY, other=0.0, throttled=0.5)),)))
    assert "CPU quota held the model back for 0.5 s" in notes(held)
    assert "stopped before the end" in notes(quiet, interrupted=True)


def test_an_analysis_that_was_cut_off_goes_on_where_it_was(tmp_path):
    repository = write_fixed_model(tmp_path / "models")
    stop = threading.Event()

    class StopAfterThree(Recorder):
        def measured(self, point: Point, seconds_left: float) -> None:
            super().measured(point, seconds_left)
            if len(self.points) == 3:
                stop.set()

    options = AnalysisOptions("fixed", (repository,), **{**FAST, "space": THREE}, journal=tmp_path / "journal.jsonl")
    with Workspace(find_model([repository], "fixed")) as workspace:
        first = analyze(options, workspace, StopAfterThree(), stop)
    with Workspace(find_model([repository], "fixed")) as workspace:
        second = analyze(replace(options, resume=True), workspace, Recorder(), threading.Event())
    assert first.interrupted
    assert not second.interrupted
    assert second.resumed >= 3
    before = {window.began for point in first.points for window in point.windows.windows}
    after = {window.began for point in second.points for window in point.windows.windows}
    assert before < after
    assert len(second.points) > 3
    assert any("were measured by an earlier run" in note for note in second.notes)


def test_what_an_earlier_run_recommended_does_not_stay_behind(tmp_path):
    """A model file of an older recommendation beside a new config.pbtxt would be served with it."""
    stale = [tmp_path / "out" / folder / "fixed" / "7" / "model.onnx" for folder in ("recommended", "batchable")]
    other = tmp_path / "out" / "recommended" / "another" / "config.pbtxt"
    for file in (*stale, other):
        file.parent.mkdir(parents=True)
        file.touch()
    run(
        write_fixed_model(tmp_path / "models"),
        "fixed",
        tmp_path / "out",
        space=replace(SMALL, max_batch_sizes=(1,), instances=(1,), concurrency=(1,)),
    )
    assert not [file for file in stale if file.exists()]
    assert other.exists()


def test_the_threads_of_an_instance_are_told_to_whoever_takes_the_configuration_to_triton(done):
    (two, *_) = [one for one in done.analysis.points if one.configuration.instances == 2]
    threads = max(1, usable_cores() // 2)
    text = " ".join(recommended_config(done.analysis, recommend(finals([two]), [], None)).replace("\n#", "").split())
    assert f"Each instance ran with {threads} thread" in text
    assert "parameters intra_op_thread_count" in text
    assert "ONNX Runtime 1." in text


def test_what_another_engine_was_measured_with_is_told_by_its_own_name(done):
    config = ModelConfig()
    config.CopyFrom(done.analysis.points[0].configuration.config)
    config.platform, config.backend = "", "python"
    point = replace(
        done.analysis.points[0], configuration=replace(done.analysis.points[0].configuration, config=config)
    )
    text = recommended_config(done.analysis, recommend(finals([point]), [], None))
    assert "ONNX Runtime" not in text
    assert "tcli " in text
