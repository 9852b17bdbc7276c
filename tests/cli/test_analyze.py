"""`tcli analyze` as a user runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import batching_models
import forked_command
from analysis_runs import CONFIG, write_fixed_model
from decoupled_python_models import write_decoupled_models
from ensemble_models import ensemble, write_ensemble
from tcli_analyzer.journal import mark_ended
from tcli_analyzer.options import AnalysisOptions
from triton_cli import analyze_apply

pytestmark = pytest.mark.long

QUICK = (
    "--measurement-interval",
    "20",
    "--max-time",
    "5s",
    "--search",
    "grid",
    "--batch-sizes",
    "1,4",
    "--concurrency",
    "1,4",
)


def tcli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked_command.run("analyze", *arguments, cwd=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_fixed_model(tmp_path / "model_repository")
    return tmp_path


SMALL = ("-m", "fixed", *QUICK, "--instance-counts", "1")


@dataclass(frozen=True)
class Done:
    """An analysis that has ended.

    Attributes:
        folder: in which it ran.
        ran: the command.
    """

    folder: Path
    ran: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Done:
    """What others go on with are copies of the folder."""
    folder = tmp_path_factory.mktemp("done")
    write_fixed_model(folder / "model_repository")
    (folder / "also.yaml").write_text("markdown: true\nparquet: true\n")
    return Done(folder, tcli(folder, *SMALL, "--png", "--config", "also.yaml"))


@pytest.fixture
def measured(done, tmp_path: Path) -> Path:
    """A folder in which all was measured, and the command was cut off before it said that it had ended."""
    copy = tmp_path / "copy"
    shutil.copytree(done.folder, copy)
    journal = copy / "analysis" / "fixed" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if not line.startswith(b'{"ended"')))
    return copy


@pytest.fixture
def ended(measured) -> Path:
    """A folder in which an analysis has ended with a recommendation, also on a busy machine, where nothing is decided."""
    output = measured / "analysis" / "fixed"
    config = output / "recommended" / "fixed" / "config.pbtxt"
    mark_ended(output / "journal.jsonl", analyze_apply._ending(config, AnalysisOptions("fixed")))
    return measured


def test_a_run_tells_the_plan_the_points_the_best_and_the_files(done):
    ran = done.ran
    assert ran.returncode == 0, ran.stderr
    assert "points to measure, about" in ran.stdout
    assert "batch 4, 1 instance, concurrency 4:" in ran.stdout
    assert "Best configurations for the highest throughput" in ran.stdout
    assert "\x1b" not in ran.stdout
    output = done.folder / "analysis" / "fixed"
    names = {path.name for path in output.iterdir()}
    assert {"results.csv", "results.json", "report.html", "recommended", "variants", "latency"} <= names
    assert {"report.md", "plots", "results.parquet"} <= names
    config = output / "recommended" / "fixed" / "config.pbtxt"
    assert str(config.relative_to(done.folder)) in ran.stdout
    assert (done.folder / "model_repository" / "fixed" / "config.pbtxt").read_text() == CONFIG


def test_json_is_all_that_is_on_stdout(measured):
    (measured / "analysis" / "fixed").rename(measured / "elsewhere")
    (measured / "elsewhere" / "results.json").unlink()
    ran = tcli(measured, *SMALL, "--resume", "--json", "-o", "elsewhere")
    document = json.loads(ran.stdout)
    assert document["model"] == "fixed"
    assert len([point for point in document["points"] if point["stage"] == "search"]) == 2 + 3
    assert document == json.loads((measured / "elsewhere" / "results.json").read_text())
    assert "points to measure" in ran.stderr


def test_apply_puts_the_recommendation_into_the_repository(measured):
    ran = tcli(measured, *SMALL, "--resume", "--apply")
    model = measured / "model_repository" / "fixed"
    if "nothing is decided" in ran.stderr:  # on a busy machine
        assert ran.returncode == 1
        assert "Undecided: " in ran.stdout
        assert "--resume" in ran.stderr
        assert (model / "config.pbtxt").read_text() == CONFIG
        return
    assert ran.returncode == 0, ran.stderr
    if "Nothing to apply" in ran.stdout:
        assert (model / "config.pbtxt").read_text() == CONFIG
    else:
        recommended = measured / "analysis" / "fixed" / "recommended" / "fixed" / "config.pbtxt"
        assert (model / "config.pbtxt").read_text() == recommended.read_text()
        assert (model / "config.pbtxt.bak").read_text() == CONFIG
        assert (model / "2" / "model.onnx").is_file()
        assert str(model.relative_to(measured) / "2") in ran.stdout


def test_what_has_ended_is_applied_without_measuring_again(ended):
    output = ended / "analysis" / "fixed"
    before = (output / "journal.jsonl").read_bytes()
    ran = tcli(ended, *SMALL, "--resume", "--apply")
    assert ran.returncode == 0, ran.stderr
    assert "Applied:" in ran.stdout
    recommended = output / "recommended" / "fixed" / "config.pbtxt"
    assert (ended / "model_repository" / "fixed" / "config.pbtxt").read_text() == recommended.read_text()
    assert (output / "journal.jsonl").read_bytes() == before


@pytest.mark.parametrize("change", ["a file", "an option"])
def test_what_was_changed_since_it_ended_is_decided_anew(ended, change: str):
    recommended = ended / "analysis" / "fixed" / "recommended" / "fixed" / "config.pbtxt"
    if change == "a file":
        recommended.write_text("edited")
    ran = tcli(ended, *SMALL, "--resume", "--apply", *(("--tie", "50") if change == "an option" else ()))
    assert "Best configurations" in ran.stdout
    assert "edited" not in recommended.read_text()
    assert "edited" not in (ended / "model_repository" / "fixed" / "config.pbtxt").read_text()


def test_ctrl_c_keeps_what_was_measured(folder, tmp_path_factory):
    temporary = tmp_path_factory.mktemp("tmp")
    command = [sys.executable, "-u", "-m", "triton_cli", "analyze", "-m", "fixed"]
    command += ["--measurement-interval", "300", "--max-time", "5s", "--search", "grid", "--json"]
    environment = os.environ | {"TMPDIR": str(temporary)}
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    deadline = time.monotonic() + 60
    for line in process.stderr:
        if "infer/s" in line or time.monotonic() > deadline:
            break
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    document = json.loads(stdout)
    assert document["interrupted"] is True
    assert 1 <= len(document["points"]) < 40
    output = folder / "analysis" / "fixed"
    assert (output / "report.html").is_file()
    assert (output / "recommended" / "fixed" / "config.pbtxt").is_file()
    assert "Traceback" not in stderr
    assert not list(temporary.glob("tcli-*"))


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-m", "nope"], 1, "models there: fixed"),
        (["fixed"], 2, "a model is named by -m: tcli analyze -m fixed"),
        ([], 2, "models in model_repository: fixed"),
        (["-m", "fixed", "--model-repository", "nowhere"], 1, "tcli repo init"),
        (["-m", "fixed", "--batch-sizes", "1,x"], 2, "'x': expected whole numbers"),
        (["-m", "fixed", "--concurrency", "0"], 2, "--concurrency"),
        (["-m", "fixed", "--objective", "speed"], 2, "expected throughput or latency"),
        (["-m", "fixed", "--latency-budget", "-1"], 2, "above 0"),
        (["-m", "fixed", "--measurement-interval", "0"], 2, "above 0"),
        (["-m", "fixed", "--search", "fast"], 2, "expected quick, grid or optuna"),
        (["-m", "fixed", "--slo", "p99<50"], 2, "--slo"),
        (["-m", "fixed", "--arrivals", "often"], 2, "expected poisson, constant, or a file"),
        (["-m", "fixed", "--as-is"], 2, "needs a server"),
        (["-m", "fixed", "--url", ""], 2, "expected an address such as localhost:8000"),
        (["-m", "fixed", "--protocol", "quic", "-u", "localhost"], 2, "expected http or grpc"),
        (["-m", "fixed", "--url", "localhost:1", "--apply"], 2, "out of reach"),
        (["-m", "fixed", "--url", "localhost:1"], 1, "localhost:1"),
        (["-m", "fixed", "--config", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["-m", "fixed", "--input", "nowhere.npy"], 2, "nowhere.npy"),
        (["-m", "fixed", "--engines", "tensorrt_plan"], 2, "tensorrt_plan"),
        (["-m", "fixed", "--providers", "rocm"], 2, "no provider 'rocm' runs this model"),
        (["-m", "fixed", "--tie", "100"], 2, "below 100"),
        (["-m", "fixed", "--seed", "-1"], 2, "--seed"),
        (["-m", "fixed", "--max-time", "soon"], 2, "such as 90s, 10m or 1h"),
        (["-m", "fixed", "--shape", "x"], 2, "expected NAME:d1,d2"),
        (["-m", "fixed", "--shape", "nope:1"], 2, "has no input 'nope'"),
        (["-m", "fixed", "--shape", "x:1,2"], 2, "'x'"),
    ],
)
def test_mistakes_are_told_in_one_message(folder, arguments, status, message):
    ran = tcli(folder, *arguments)
    assert ran.returncode == status
    assert message in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr


def test_a_model_that_does_not_load_is_told_with_its_reason(folder):
    (folder / "model_repository" / "fixed" / "1" / "model.onnx").write_bytes(b"not a model")
    ran = tcli(folder, "-m", "fixed")
    assert ran.returncode == 1
    assert "does not load as it is" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.fixture
def lengths(tmp_path: Path) -> Path:
    """A repository with models that do not run where their variable dimensions are 1, or at all."""
    repository = tmp_path / "model_repository"
    config = batching_models.config_of
    batching_models.write(repository, "pool", batching_models.pools_four, config("pool", 8, "[ -1 ]", "[ -1 ]"))
    batching_models.write(
        repository, "plain", batching_models.pools_four, config("plain", 0, "[ -1, -1 ]", "[ -1, -1 ]")
    )
    numbers = config("numbers", 8, "[ 4 ]", "[ 4 ]").replace("TYPE_FP32", "TYPE_INT64", 1)
    batching_models.write(repository, "numbers", batching_models.wants_large_numbers, numbers)
    return tmp_path


def test_sizes_that_cannot_be_1_are_found_and_said(lengths):
    least = ("--batch-sizes", "1", "--concurrency", "1", "--instance-counts", "1")
    ran = tcli(lengths, "-m", "pool", "--measurement-interval", "20", "--max-time", "1s", "--search", "grid", *least)
    assert ran.returncode == 0, ran.stderr
    assert "--shape x:4" in " ".join(ran.stdout.split())


def test_values_that_no_made_up_request_has_are_asked_for(lengths):
    ran = tcli(lengths, "-m", "numbers", *QUICK)
    assert ran.returncode == 1
    assert "model 'numbers' refuses made-up inputs 'x' (INT64 [4])" in ran.stderr
    assert "--input x:LOW..HIGH" in ran.stderr
    assert "repo check" not in ran.stderr


def test_repo_check_is_named_only_where_it_has_something_to_say(folder):
    config = folder / "model_repository" / "fixed" / "config.pbtxt"
    config.write_text(CONFIG.replace("[ 5 ]", "[ 6 ]"))
    ran = tcli(folder, "-m", "fixed", *QUICK)
    assert ran.returncode == 1
    assert "model 'fixed' does not load as it is" in ran.stderr
    assert "tcli repo check fixed --model-repository model_repository says what is wrong with it" in ran.stderr


def test_an_ensemble_is_refused_with_what_to_do(tmp_path: Path):
    steps = [("add_sub", {"INPUT0": "A", "INPUT1": "B"}, {"OUTPUT0": "S"})]
    write_ensemble(tmp_path, "pipe", ensemble(["A", "B"], ["S"], steps))
    ran = tcli(tmp_path, "--model", "pipe", "--model-repository", str(tmp_path))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "analyze the models that it is made of: add_sub" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_decoupled_model_is_refused_with_what_to_do(tmp_path: Path):
    write_decoupled_models(tmp_path / "model_repository")
    name = sorted(path.name for path in (tmp_path / "model_repository").iterdir())[0]
    ran = tcli(tmp_path, "-m", name)
    assert ran.returncode == 1
    assert f"'{name}' is decoupled" in ran.stderr
    assert f"tcli perf -m {name} -i grpc --streaming" in ran.stderr
