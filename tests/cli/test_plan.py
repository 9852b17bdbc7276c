"""`tcli plan` as a user runs it."""

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

import forked_command
from stored_analyses import results, write_results
from triton_cli.plan import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plans")
    write_results(folder / "m", results())
    write_results(folder / "grid", results(search="grid", prediction=None))
    write_results(folder / "coreless", results(machine={}))
    return folder


def tcli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked_command.run("plan", *arguments, cwd=folder)


def test_replicas_cores_and_cost(folder: Path):
    ran = tcli(
        folder,
        "--from",
        "m",
        "--rate",
        "500",
        "--slo",
        "p99<=90ms",
        "--price-per-hour",
        "0.36",
        "--json",
        "--batch-sizes",
        "4",
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["replicas"] == found["replicas_needed"] + 1
    assert found["cores"] == 2 * found["replicas"]
    assert found["cost_per_hour"] == pytest.approx(0.36 * found["replicas"])
    assert found["cost_per_million_inferences"] == pytest.approx(
        0.2 * found["replicas"]
    )  # half an hour and a bit of it
    assert found["with_all"]["latency_p99_ms"] <= found["without_spare"]["latency_p99_ms"] <= 90
    assert found["share_of_capacity"] <= 0.8


def test_the_same_for_people(folder: Path):
    ran = tcli(
        folder,
        "--from",
        "m",
        "--rate",
        "50",
        "--slo",
        "p99<=90ms",
        "--spare",
        "0",
        "--instance-counts",
        "2",
        "--batch-sizes",
        "4",
    )
    assert ran.returncode == 0, ran.stderr
    words = ran.stdout.split()
    assert words[words.index("replicas") + 1] == "1"
    assert words[words.index("cores") + 1] == "2"
    assert "cost" not in words
    assert "A prediction: nothing was measured now." in ran.stdout
    assert "20 % more requests" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "m", "--rate", "500", "--slo", "p99<=1ms"), "no number of replicas keeps p99 <= 1 ms"),
        (("--from", "m", "--rate", "500", "--slo", "p99"), "not a latency objective"),
        (("--from", "n", "--rate", "500", "--slo", "p99<=90ms"), "no analysis in n"),
        (("--from", ".", "--rate", "500", "--slo", "p99<=90ms"), "in it: coreless, grid, m"),
        (("--from", "grid", "--rate", "500", "--slo", "p99<=90ms"), "has no service times: it is of --search grid"),
        (("--from", "coreless", "--rate", "50", "--slo", "p99<=90ms"), "does not say how many cores"),
        (("--from", "m", "--rate", "0", "--slo", "p99<=90ms"), "--rate"),
        (("--from", "m", "--rate", "5", "--slo", "p99<=9ms", "--price-per-hour", "inf"), "--price-per-hour"),
        (
            ("--from", "m", "--rate", "5", "--slo", "p99<=90ms", "--batch-sizes", "64"),
            "batches of 1 to 8 were measured",
        ),
        (("--from", "m", "--rate", "5", "--slo", "p99<=90ms", "--instance-counts", "7"), "only 1, 2"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    folder: Path, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    ran = CliRunner().invoke(app, list(arguments))
    assert ran.exit_code in (1, 2)
    assert said in " ".join(ran.stderr.split())
    assert not ran.stdout
