"""`tcli analyze` with several models, as a user runs it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import forked_command
import onnx_models
from ensemble_models import ensemble, write_ensemble
from repositories import write_model

pytestmark = pytest.mark.long

QUICK = (
    "--measurement-interval",
    "20",
    "--max-time",
    "16s",
    "--search",
    "grid",
    "--batch-sizes",
    "1,4",
    "--concurrency",
    "2",
    "--instance-counts",
    "1",
)
BOTH = ("--model", "quick", "--model", "slow")


def tcli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked_command.run("analyze", *arguments, cwd=folder, timeout=240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("together")
    for name, rounds in (("quick", 2), ("slow", 20)):
        write_model(root / "model_repository", name, onnx_models.slow_identity(rounds, 64))
    steps = [("quick", {"INPUT0": "A"}, {"OUTPUT0": "S"})]
    write_ensemble(root / "model_repository", "pipe", ensemble(["A"], ["S"], steps))
    (root / "report.yaml").write_text("markdown: true\n")
    return root


def test_a_run_from_the_command_to_the_repository(folder):
    ran = tcli(folder, *BOTH, "--weight", "slow=2", "--apply", "--json", *QUICK)
    output = folder / "analysis" / "quick+slow"
    document = json.loads(ran.stdout)
    assert document == json.loads((output / "results.json").read_text())
    assert [one["weight"] for one in document["models"]] == [1.0, 2.0]
    assert (output / "report.html").is_file()
    assert "quick alone:" in ran.stderr
    assert "quick and slow together" in ran.stderr
    configs = {name: folder / "model_repository" / name / "config.pbtxt" for name in ("quick", "slow")}
    chosen = document["recommendation"]
    if chosen["outcome"] == "undecided":  # on a busy machine
        assert ran.returncode == 1
        assert "nothing is decided" in ran.stderr
        assert "--resume" in ran.stderr
    else:
        assert ran.returncode == 0, ran.stderr
    applied = chosen["outcome"] == "take"
    for name, config in configs.items():
        recommended = output / "recommended" / name / "config.pbtxt"
        assert f"{recommended.relative_to(folder)}" in ran.stderr
        changed = applied and not chosen["models"][name]["keeps_current"]
        assert config.exists() is changed
        assert not changed or config.read_text() == recommended.read_text()


def test_models_of_a_file_with_their_weights_and_budgets(folder):
    (folder / "both.yaml").write_text(
        "models:\n  quick: {weight: 3, latency_budget: 200}\n  slow: {space: {batch_sizes: [1]}}\n"
        "max_time: 10s\nsearch: grid\nspace: {batch_sizes: [1, 4], concurrency: [2], instance_counts: [1]}\n"
    )
    ran = tcli(folder, "--config", "both.yaml", "--weight", "slow=2", "--measurement-interval", "20", "-o", "out")
    assert ran.returncode == 0, ran.stderr
    document = json.loads((folder / "out" / "results.json").read_text())
    assert [(one["model"], one["weight"]) for one in document["models"]] == [("quick", 3.0), ("slow", 2.0)]
    assert [one["latency_budget_ms"] for one in document["models"]] == [200.0, None]
    tried = [[label for label in one["tried"] if "batch 4, " in label] for one in document["models"]]
    assert tried[0]
    assert "current" in tried[1][0]
    assert "slow (weight 2): " in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-m", "quick", "-m", "quick"], 2, "'quick' is named twice"),
        (["-m", "quick", "-m", "slwo"], 1, "did you mean 'slow'?"),
        (["-m", "quick", "-m", "pipe"], 1, "analyze the models that it is made of: quick"),
        (["-m", "quick", "--weight", "quick=2"], 2, "weights are for several models"),
        ([*BOTH, "--weight", "slo=2"], 2, "'slo' is not analyzed; did you mean 'slow'? models: quick, slow"),
        ([*BOTH, "--weight", "slow"], 2, "expected NAME=W, such as quick=2"),
        ([*BOTH, "--weight", "slow=0"], 2, "'0' for slow: expected a number above 0"),
        ([*BOTH, "--weight", "slow=nan"], 2, "expected a number above 0"),
        ([*BOTH, "--url", "localhost:8000"], 2, "not on a server"),
        ([*BOTH, "--slo", "p99<=50ms"], 2, "one model at a time"),
        ([*BOTH, "--shape", "x:1"], 2, "below models"),
        ([*BOTH, "--what-if"], 2, "one model at a time"),
        ([*BOTH, "--png"], 2, "one model at a time"),
        ([*BOTH, "--config", "report.yaml"], 2, "--markdown: is for one model at a time"),
        ([*BOTH, "--config", "nowhere.yaml"], 2, "nowhere.yaml"),
        ([*BOTH, "--batch-sizes", "x"], 2, "expected whole numbers"),
        ([*BOTH, "--model-repository", "nowhere"], 1, "tcli repo init"),
    ],
)
def test_mistakes_are_told_in_one_message(folder, arguments, status, message):
    ran = tcli(folder, *arguments)
    assert ran.returncode == status, ran.stderr
    assert message in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr


def test_a_model_that_does_not_load_is_told_with_its_name(tmp_path):
    for name in ("quick", "slow"):
        write_model(tmp_path / "model_repository", name, onnx_models.slow_identity(2, 64))
    (tmp_path / "model_repository" / "slow" / "1" / "model.onnx").write_bytes(b"no model")
    ran = tcli(tmp_path, *BOTH, *QUICK)
    assert ran.returncode == 1
    assert "model 'slow' does not load as it is" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_ctrl_c_before_all_run_says_how_to_go_on(folder, tmp_path):
    command = [sys.executable, "-m", "triton_cli", "analyze", *BOTH, "--search", "grid", "-o", str(tmp_path / "out")]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "quick alone:" in line:
            break
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "stopped before the models were measured together; go on with: tcli analyze --model quick" in stderr
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    assert (tmp_path / "out" / "journal.jsonl").is_file()
