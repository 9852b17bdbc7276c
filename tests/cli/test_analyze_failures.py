"""What `tcli analyze` says of what ends it."""

import errno
import os
from pathlib import Path

import pytest
import typer

from tcli_analyzer.options import AnalysisOptions
from triton_cli.analyze_failures import telling


def full(filename: Path | None = None) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), None if filename is None else str(filename))


def told(capsys: pytest.CaptureFixture[str], folder: Path, problem: OSError, journal: Path | None = None) -> str:
    options = AnalysisOptions("net", (folder,))
    with pytest.raises(typer.Exit), telling(options, folder, journal):
        raise problem
    return " ".join(capsys.readouterr().err.split())


def test_a_full_disk_is_told_with_the_file(tmp_path, capsys):
    said = told(capsys, tmp_path, full(tmp_path / "results.csv"))
    assert f"{tmp_path / 'results.csv'}: No space left on device" in said
    assert "--output" in said
    assert "--resume" not in said


def test_what_was_measured_until_then_is_named_also_with_several_models(tmp_path, capsys):
    journal = tmp_path / "journal.jsonl"
    assert "--resume" not in told(capsys, tmp_path, full(journal), journal)
    journal.write_text("{}\n")
    assert "--resume goes on: what was measured is kept" in told(capsys, tmp_path, full(journal), journal)


def test_a_full_output_is_no_matter_of_the_folder(tmp_path, capsys):
    """The whole command says so, as for every other."""
    with pytest.raises(OSError, match="No space left"), telling(AnalysisOptions("net", (tmp_path,)), tmp_path):
        raise full()
    assert capsys.readouterr().err == ""
