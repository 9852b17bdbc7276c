"""`tcli analyze --what-if` as a user runs it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import forked_command
from stored_analyses import results, write_results


def tcli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked_command.run("analyze", "--what-if", *arguments, cwd=folder)


def on_a_terminal(folder: Path, columns: int, *arguments: str) -> list[str]:
    """The lines that a terminal of this width gets."""
    pty = pytest.importorskip("pty")
    near, far = pty.openpty()
    command = [sys.executable, "-m", "triton_cli", "analyze", "--what-if", *arguments]
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    with subprocess.Popen(command, cwd=folder, stdout=far, stderr=far, env=environment) as process:
        os.close(far)
        text = b""
        while True:
            try:
                part = os.read(near, 4096)
            except OSError:  # Linux's word for the end
                break
            if not part:
                break
            text += part
        process.wait()
    os.close(near)
    return re.sub(r"\x1b\[[\d;]*m|\r", "", text.decode()).splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_results(tmp_path / "analysis" / "m", results())
    return tmp_path


def test_rates_and_delays_are_answered_in_a_table_and_a_sentence(folder):
    ran = tcli(folder, "-m", "m", "--request-rates", "20,80", "--queue-delays", "0,2ms", "--latency-budget", "60")
    assert ran.returncode == 0, ran.stderr
    heading, *rows = ran.stdout.partition("\n\n")[0].splitlines()
    assert heading.split() == ["CONFIGURATION", "LOAD", "INFER/S", "P50", "MS", "P99", "MS", "BATCH", "BUSY"]
    assert len(rows) == 2 * 2 * (1 + 3 * 2)  # tables, rates, limits: of 1 nothing is delayed
    assert any(row.startswith("batch 4, 2 instances, delay 2 ms ") and " 80/s " in row for row in rows)
    assert all("±" in row for row in rows if "overloaded" not in row)
    sentence = " ".join(ran.stdout.partition("\n\n")[2].split())
    assert sentence.startswith("Best within a p99 latency of 60 ms: batch ")
    assert "2 instances" in sentence.partition("A prediction")[0]
    assert "nothing was measured now; in that analysis predictions were off by 3 % in throughput" in sentence
    assert sum(" * " in row for row in rows) == 1


def test_a_rate_that_is_too_much_is_said_to_be(folder):
    ran = tcli(folder, "-m", "m", "--request-rates", "100000")
    assert ran.returncode == 0, ran.stderr
    assert "overloaded" in ran.stdout
    assert "Every configuration is overloaded" in ran.stdout


def test_the_highest_rate_within_an_objective(folder):
    ran = tcli(folder, "-m", "m", "--slo", "p99<=60ms", "--batch-sizes", "1,8", "--instance-counts", "2", "--json")
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["answers"] == []
    best, worst = document["rates"]
    assert (best["configuration"], worst["configuration"]) == ("batch 8, 2 instances", "batch 1, 2 instances")
    assert 50 < worst["requests_per_second"] < best["requests_per_second"] < 111  # 2 instances of 18 ms side by side
    assert f"{best['configuration']} takes most: " in document["sentence"]


def test_json_has_every_answer(folder):
    ran = tcli(folder, "-m", "m", "--concurrency", "4", "--batch-sizes", "4", "--json")
    document = json.loads(ran.stdout)
    assert [one["configuration"] for one in document["answers"]] == ["batch 4, 1 instance", "batch 4, 2 instances"]
    assert all(one["latency_p99_ms"] > 10 for one in document["answers"])
    assert sum(one["best"] for one in document["answers"]) == 1
    assert document["errors"] == {"throughput": 0.03, "p50": 0.05, "p99": 0.10}


def test_without_loads_those_of_the_analysis_are_asked(folder):
    document = json.loads(tcli(folder, "-o", "analysis/m", "--batch-sizes", "8", "--json").stdout)
    assert {one["concurrency"] for one in document["answers"]} == {4, 16}
    assert document["model"] == "m"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-m", "m", "--batch-sizes", "64"), "max_batch_size 64 cannot be predicted: batches of 1 to 8 were measured"),
        (("-m", "n"), "no analysis in analysis/n"),
        (("-m", "n", "-o", "analysis/m"), "is of model 'm', not of 'n'"),
        (("-m", "m", "--instance-counts", "7"), "nothing was measured with 7 instances: only 1, 2"),
        (("-m", "m", "--engines", "openvino"), "--engines: not with --what-if"),
        (("-m", "m", "--apply"), "--apply: not with --what-if"),
        (("-m", "m", "--max-time", "5s"), "--max-time: not with --what-if"),
        (("-m", "m", "--png"), "--png: not with --what-if"),
        (("-m", "m", "-m", "n"), "--what-if: one model at a time"),
        (("-m", "m", "--preferred-batch-sizes", "2,4+8"), "one at a time"),
    ],
)
def test_what_cannot_be_answered_is_refused(folder, arguments, said):
    ran = tcli(folder, *arguments)
    assert ran.returncode in (1, 2)
    assert said in ran.stderr
    assert not ran.stdout


def test_an_analysis_that_predicts_nothing_cannot_be_asked(folder):
    write_results(folder / "grid", results(search="grid", prediction=None))
    ran = tcli(folder, "-o", "grid")
    assert "grid/results.json has no service times: it is of --search grid" in ran.stderr
    assert "tcli analyze -m m" in ran.stderr


def test_damaged_results_are_named(folder):
    damaged = results()
    damaged["prediction"]["tables"]["tables"][0]["entries"] = "none"
    write_results(folder / "damaged", damaged)
    assert "the service times are damaged" in tcli(folder, "-o", "damaged").stderr
    (folder / "damaged" / "results.json").write_text('{"model": ')
    assert "is damaged: it is not JSON" in tcli(folder, "-o", "damaged").stderr
    (folder / "damaged" / "results.json").write_text("[]")
    assert "is not the results.json of an analysis" in tcli(folder, "-o", "damaged").stderr


@pytest.mark.parametrize("columns", [80, 50])
def test_nothing_is_cut_in_a_narrow_terminal(folder, columns):
    arguments = ("-m", "m", "--request-rates", "40", "--batch-sizes", "8", "--queue-delays", "2ms")
    lines = on_a_terminal(folder, columns, *arguments)
    table = lines[: lines.index("")]
    assert all(len(line) <= columns for line in table)
    assert any("batch 8, 2 instances, delay 2 ms" in line for line in table)
    assert sum("±" in line for line in table) == 2
