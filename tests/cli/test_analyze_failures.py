"""What `tcli analyze` says of what ends it."""

import errno
import json
import os
from pathlib import Path

import pytest
import typer

import onnx_models
from repositories import write_model
from tcli_analyzer.data.asking import LoadDiedError
from tcli_analyzer.options import AnalysisOptions
from tcli_server.errors import InternalError, ServerError
from told_analyses import unmeasured
from triton_cli.analyze import end_without_results
from triton_cli.analyze_failures import telling


def said_of(capsys: pytest.CaptureFixture[str], folder: Path, problem: ServerError) -> str:
    with pytest.raises(typer.Exit), telling(AnalysisOptions("net", (folder,)), folder):
        raise problem
    return " ".join(capsys.readouterr().err.split())


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


@pytest.mark.parametrize("as_json", [False, True])
def test_where_nothing_could_be_measured_every_reason_is_told(tmp_path, capsys, as_json):
    with pytest.raises(typer.Exit) as ended:
        end_without_results(unmeasured(tmp_path), tmp_path, as_json)
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    assert [line.partition(": ")[0] for line in said.err.splitlines()] == [
        "batch 16, 1 instance, concurrency 16; batch 16, 2 instances; batch 16, 4 instances and 1 more",
        "batch 4, 1 instance, openvino",
        "error",
    ]
    assert "out of memory: the process was ended at 2,048 MiB" in said.err
    assert "'Foo'" in said.err
    assert str(tmp_path / "results.json") in said.err
    written = json.loads((tmp_path / "results.json").read_text())
    assert (json.loads(said.out) if as_json else said.out) == (written if as_json else "")


def test_who_has_stopped_it_knows_why(tmp_path, capsys):
    analysis = unmeasured(tmp_path)
    analysis.interrupted = True
    with pytest.raises(typer.Exit) as ended:
        end_without_results(analysis, tmp_path, False)
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "stopped before anything was measured\n"
    assert not (tmp_path / "results.json").exists()


def test_what_hangs_or_crashes_as_it_is_loaded_is_not_loaded_once_more_to_say_why(tmp_path, capsys):
    folder = write_model(tmp_path, "net", onnx_models.identity())
    (folder / "1" / "model.onnx").write_bytes(b"no model")
    refused = said_of(capsys, tmp_path, InternalError("it is no model"))
    assert "tcli repo check net" in refused  # that has looked at it
    died = said_of(capsys, tmp_path, LoadDiedError("it hangs: no answer within 900 s"))
    assert died == "error: model 'net' does not load as it is: it hangs: no answer within 900 s"
