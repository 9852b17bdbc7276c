"""A whole analysis of two models on the real engine, and what is written and applied."""

import json
import shutil
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import measured_points
import onnx_models
from analysis_runs import CONFIG, FAST, Recorder, write_fixed_model
from repositories import write_model
from tcli_analyzer.evidence.race import Race
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.recommendation import Outcome
from tcli_analyzer.space import SpaceValues
from tcli_analyzer.subject import find_model
from tcli_analyzer.together.analysis import TogetherAnalysis
from tcli_analyzer.together.analyze import NothingMeasuredError, PartError, analyze_together
from tcli_analyzer.together.apply import Change, apply_together
from tcli_analyzer.together.arrangement import Arrangement
from tcli_analyzer.together.finals import JointFinals
from tcli_analyzer.together.options import TogetherOptions
from tcli_analyzer.together.output import WrittenTogether, write_together, write_together_failures
from tcli_analyzer.together.window import JointWindow, joined
from tcli_analyzer.workspace import Workspace
from tcli_server.engine import Engine
from tcli_server.repository import model_folders

pytestmark = pytest.mark.long

MODELS = ("quick", "fixed")
SPACE = SpaceValues(max_batch_sizes=(1, 4), instances=(1,), concurrency=(2,), engines=("onnxruntime",))
TIMES = {"search_seconds": 12.0, "finals_seconds": 3.0, "patience_seconds": 0.0, "window_seconds": 0.02}


def write_models(repository: Path) -> Path:
    write_model(repository, "quick", onnx_models.slow_identity(2, 64))
    return write_fixed_model(repository)


def analyze(repository: Path, output: Path, **more: object) -> tuple[TogetherAnalysis, WrittenTogether, Recorder]:
    parts = tuple(AnalysisOptions(name, (repository,), **{**FAST, "space": SPACE}) for name in MODELS)
    options = replace(TogetherOptions(parts, {"quick": 1.0, "fixed": 2.0}, **TIMES), **more)
    recorder = Recorder()
    with ExitStack() as stack:
        workspaces = {name: stack.enter_context(Workspace(find_model([repository], name))) for name in MODELS}
        analysis = analyze_together(options, workspaces, recorder, threading.Event())
        written = write_together(analysis, workspaces, output)
    return analysis, written, recorder


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("together")
    repository = write_models(root / "models")
    output = root / "output"
    output.mkdir()
    return analyze(repository, output, journal=output / "journal.jsonl"), repository, output


def test_every_model_is_searched_alone_and_then_all_are_measured_together(done):
    (analysis, _, recorder), _, _ = done
    for part in analysis.parts.values():
        assert part.points
        assert part.candidates.choices[0].configuration.current
        assert len(part.candidates.choices) > 1
    arrangements = list(analysis.found.windows)
    assert arrangements[0].is_current
    assert len(arrangements) > 1 or not analysis.found.in_time
    assert analysis.finals.race.rounds >= 1
    for windows in analysis.found.windows.values():
        assert all(set(window.parts) == set(MODELS) for window in windows)
    assert any("together" in note for note in recorder.notes)


def test_what_is_written(done):
    (analysis, written, _), repository, output = done
    document = json.loads(written.json.read_text())
    assert [one["model"] for one in document["models"]] == list(MODELS)
    assert [one["weight"] for one in document["models"]] == [1.0, 2.0]
    assert set(document["recommendation"]["models"]) == set(MODELS)
    frame = pd.read_csv(written.csv)
    assert set(frame["stage"]) == {"alone", "together", "final"}
    assert set(frame["model"]) == set(MODELS)
    together = frame[frame["stage"] == "together"]
    assert len(together) == 2 * len(analysis.found.windows)
    report = written.report.read_text()
    assert "quick and fixed together" in report
    assert "<script" not in report
    assert len(report) < 1_500_000
    assert {path.name for path in (output / "recommended").iterdir()} == set(MODELS)
    for model in written.models.values():
        assert "for a machine that also runs" in model.config.read_text()
    assert not (repository / "quick" / "config.pbtxt").exists()


def test_what_is_proven_is_written_for_every_model_with_the_files_that_it_needs(done, tmp_path):
    """The finals are those of a quiet machine on which everything else is a fifth faster."""
    (analysis, _, _), repository, _ = done
    current = next(iter(analysis.found.windows))
    candidates = [analysis.parts[name].candidates.choices for name in MODELS]
    others = [[one for one in choices if not one.configuration.current] for choices in candidates]
    # With a rewritten file if that is among what this run found to be of use.
    chosen = [max(choices, key=lambda one: one.configuration.rewritten_model) for choices in others]
    rewritten = {one.model: one.configuration.rewritten_model for one in chosen}
    rival = current.having(chosen)
    proven = replace(analysis, finals=steady_finals(analysis, current, rival))
    with ExitStack() as stack:
        workspaces = {name: stack.enter_context(Workspace(find_model([repository], name))) for name in MODELS}
        fixed = Path(analysis.parts["fixed"].subject.batchable.path)
        copy = workspaces["fixed"].add_rewritten() / fixed.name
        copy.write_bytes((repository / "fixed" / "1" / "model.onnx").read_bytes())
        written = write_together(proven, workspaces, tmp_path)
    recommendation = json.loads(written.json.read_text())["recommendation"]
    assert recommendation["outcome"] == "take"
    assert recommendation["gain_over_current"]["percent"] == pytest.approx(20, abs=1)
    for name in MODELS:
        assert recommendation["models"][name]["gain_over_current"]["percent"] == pytest.approx(20, abs=1)
        assert written.models[name].changed
        text = " ".join(written.models[name].config.read_text().replace("#", " ").split())
        assert "Recommended by tcli analyze" in text
        assert "over the current configurations" in text
    assert written.models["quick"].version is None
    version = written.models["fixed"].version
    assert (version is not None) == rewritten["fixed"]
    assert version is None or (version / fixed.name).is_file()
    assert "Take quick: " in written.report.read_text()


def steady_finals(analysis: TogetherAnalysis, current: Arrangement, rival: Arrangement) -> JointFinals:
    def window(rate: float) -> JointWindow:
        return joined({name: measured_points.window(rate) for name in MODELS}, measured_points.QUIET)

    rates = {"current": measured_points.steady(100.0), "best": measured_points.steady(120.0)}
    race = Race(windows={name: [window(rate) for rate in each] for name, each in rates.items()})
    race.latest += [
        dict(zip(("current", "best"), pair, strict=True))
        for pair in zip(race.windows["current"], race.windows["best"], strict=True)
    ]
    return JointFinals(current, rival, race, analysis.options.goal, 0.02, 30.0)


def test_what_is_recommended_loads(done, tmp_path):
    (_, written, _), repository, _ = done
    for name, model in written.models.items():
        shutil.copytree(repository / name, tmp_path / name)
        if model.version is not None:
            shutil.copytree(model.version, tmp_path / name / "1", dirs_exist_ok=True)
        shutil.copy(model.config, tmp_path / name / "config.pbtxt")
    with Engine(tmp_path) as engine:
        for name in MODELS:
            assert engine.model_config(name).name == name


def test_what_was_measured_counts_when_it_is_resumed(done, tmp_path):
    (analysis, _, _), repository, output = done
    again, _, _ = analyze(
        repository, tmp_path / "again", journal=output / "journal.jsonl", resume=True, finals_seconds=0.1
    )
    assert again.resumed > 0
    first = next(iter(analysis.found.windows.values()))[0]
    assert next(iter(again.found.windows.values()))[0].began == first.began


def test_a_model_that_does_not_load_is_named(tmp_path):
    repository = write_models(tmp_path / "models")
    (repository / "fixed" / "1" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(PartError, match="fixed") as failed:
        analyze(repository, tmp_path / "output")
    assert failed.value.options.model == "fixed"


def test_all_are_applied(tmp_path):
    repository = write_models(tmp_path)
    (repository / "quick" / "config.pbtxt").write_text("max_batch_size: 2\n")
    folders = model_folders([repository])
    said = apply_together([Change(folders[name][0], f"# new {name}\n", None) for name in MODELS])
    for name in MODELS:
        assert (repository / name / "config.pbtxt").read_text() == f"# new {name}\n"
    assert (repository / "quick" / "config.pbtxt.bak").read_text() == "max_batch_size: 2\n"
    assert (repository / "fixed" / "config.pbtxt.bak").read_text() == CONFIG
    assert len(said) == 4


def test_none_is_applied_if_one_cannot_be(tmp_path):
    repository = write_models(tmp_path / "models")
    (repository / "quick" / "config.pbtxt").write_text("max_batch_size: 2\n")
    folders = model_folders([repository])
    (repository / "fixed" / "config.pbtxt").unlink()
    (repository / "fixed" / "config.pbtxt").mkdir()  # nothing can be written in its place
    version = tmp_path / "version"
    version.mkdir()
    (version / "model.onnx").write_bytes(b"new")
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    changes = [Change(folders["quick"][0], "# new\n", version), Change(folders["fixed"][0], "# new\n", None)]
    with pytest.raises(OSError, match="directory"):
        apply_together(changes)
    assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()} == before
    assert not (repository / "quick" / "2").exists()


def test_an_analysis_that_was_stopped_recommends_nothing(tmp_path):
    repository = write_models(tmp_path / "models")
    parts = tuple(AnalysisOptions(name, (repository,), **{**FAST, "space": SPACE}) for name in MODELS)
    options = TogetherOptions(
        parts, dict.fromkeys(MODELS, 1.0), **{**TIMES, "search_seconds": 1.0, "finals_seconds": 60.0}
    )
    stop = threading.Event()

    class Stopper(Recorder):
        def raced(self, race: Race, seconds_left: float) -> None:
            super().raced(race, seconds_left)
            stop.set()

    with ExitStack() as stack:
        workspaces = {name: stack.enter_context(Workspace(find_model([repository], name))) for name in MODELS}
        analysis = analyze_together(options, workspaces, Stopper(), stop)
    assert analysis.interrupted
    assert analysis.finals.race.rounds == 1
    assert analysis.recommendation.outcome is Outcome.UNDECIDED
    assert not analysis.recommendation.may_be_applied


def test_a_model_that_cannot_be_measured_any_more_ends_it_with_every_reason(tmp_path):
    repository = write_models(tmp_path / "models")
    out = tmp_path / "out"
    (out / "recommended" / "fixed").mkdir(parents=True)
    (out / "report.html").write_text("of an older run")

    class Deleter(Recorder):
        def note(self, text: str) -> None:
            super().note(text)
            if text == "quick alone:":
                (repository / "quick" / "1" / "model.onnx").unlink()

    space = SpaceValues(max_batch_sizes=(4,), instances=(1,), concurrency=(1, 2), engines=("onnxruntime",))
    parts = tuple(AnalysisOptions(name, (repository,), **{**FAST, "space": space}) for name in MODELS)
    options = TogetherOptions(parts, dict.fromkeys(MODELS, 1.0), **TIMES)
    with ExitStack() as stack:
        workspaces = {name: stack.enter_context(Workspace(find_model([repository], name))) for name in MODELS}
        with pytest.raises(NothingMeasuredError, match="configuration of 'quick' cannot be measured alone: ") as ended:
            analyze_together(options, workspaces, Deleter(), threading.Event())
    written = write_together_failures(ended.value.analysis, out)
    document = json.loads(written.read_text())
    assert document["recommendation"] is None
    places = [failure["place"] for failure in document["failures"]]
    assert places
    assert all(place.startswith("quick alone: current (") for place in places)
    assert "model.onnx" in document["failures"][0]["message"]
    assert not (out / "report.html").exists()
    assert not (out / "recommended" / "fixed").exists()
