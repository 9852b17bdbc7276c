"""What `tcli analyze --apply` does to the repository, and when it leaves it alone."""

import threading
from pathlib import Path
from typing import Any

import pytest
import typer

import tcli_analyzer.analyze
import tcli_analyzer.output
from analysis_runs import CONFIG, write_fixed_model
from tcli_analyzer.analysis import Analysis
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.output import Written, write_output
from tcli_analyzer.subject import find_model
from told_analyses import told
from triton_cli.analyze import run
from triton_cli.analyze_apply import apply_found
from triton_cli.analyze_settings import Settled


def found(tmp_path: Path) -> tuple[Analysis, Written, Path]:
    """An analysis that recommends a change of a model that is really there."""
    repository = tmp_path / "repository"
    write_fixed_model(repository, "net")
    analysis = told(tmp_path, rates=False)
    analysis.subject.folder = find_model([repository], "net")  # type: ignore[misc]
    written = write_output(analysis, None, tmp_path / "out")
    return analysis, written, repository / "net"


def test_what_is_proven_replaces_the_configuration_and_keeps_the_old_one(tmp_path):
    analysis, written, model = found(tmp_path)
    said: list[str] = []
    apply_found(analysis, written, "", lambda text, **_: said.append(text), threading.Event())
    assert said[0] == "Applied:"
    assert (model / "config.pbtxt").read_text() == written.config.read_text() != CONFIG
    assert (model / "config.pbtxt.bak").read_text() == CONFIG


def test_who_stops_it_while_results_are_written_finds_the_repository_as_it_was(tmp_path, monkeypatch, capsys):
    """Ctrl-C once all is measured: the results are written all the same, and nothing is applied."""
    analysis, _, model = found(tmp_path)
    stop = threading.Event()

    def write(*arguments: Any) -> Written:
        stop.set()
        return write_output(*arguments)

    monkeypatch.setattr(tcli_analyzer.analyze, "analyze", lambda *_: analysis)
    monkeypatch.setattr(tcli_analyzer.output, "write_output", write)
    options = AnalysisOptions("net", (model.parent,))
    with pytest.raises(typer.Exit) as ended:
        run(Settled(options, tmp_path / "out", [], (False, False, False)), apply=True, json=False, stop=stop)
    assert ended.value.exit_code == 130
    said = capsys.readouterr().out
    assert "Not applied: the analysis was stopped before its end." in said
    assert "Applied:" not in said
    assert "--apply" in said
    assert (model / "config.pbtxt").read_text() == CONFIG
    assert not (model / "config.pbtxt.bak").exists()
