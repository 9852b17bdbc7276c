"""`tcli serve --rate-limit`: what it takes, what it refuses, and models that could never run."""

import os
from pathlib import Path

import httpx
import pytest

import forked_command
from limited import resource, write_limited
from serve_command import FREE_PORTS, serving


def refused(*options: str) -> tuple[int, str]:
    """Status and output."""
    result = forked_command.run("serve", *FREE_PORTS, *options, environment={**os.environ, "COLUMNS": "300"})
    return result.returncode, " ".join((result.stdout + result.stderr).replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--rate-limit=sometimes"], 2, "'sometimes' is not one of off, execution_count"),
        (["--rate-limit="], 2, "'' is not one of off, execution_count"),
        (["--rate-limit-resource=R:1"], 1, "--rate-limit-resource needs --rate-limit=execution_count"),
        (
            ["--rate-limit=off", "--rate-limit-resource=R:1"],
            1,
            "--rate-limit-resource needs --rate-limit=execution_count",
        ),
        (
            ["--rate-limit=execution_count", "--rate-limit-resource=R"],
            1,
            "--rate-limit-resource=R: expected NAME:COUNT or",
        ),
        (
            ["--rate-limit=execution_count", "--rate-limit-resource=R:1:0:0"],
            1,
            "expected NAME:COUNT or NAME:COUNT:DEVICE",
        ),
        (
            ["--rate-limit=execution_count", "--rate-limit-resource=R:1", "--rate-limit-resource=R:2"],
            1,
            "--rate-limit-resource=R:2: 'R' has an amount already, 1",
        ),
    ],
)
def test_other_words_start_no_server(options: list[str], status: int, words: str, tmp_path: Path):
    code, output = refused("--model-repository", str(tmp_path), *options)
    assert (code, words in output) == (status, True), output


def test_a_server_shares_what_the_command_line_says(tmp_path: Path):
    write_limited(tmp_path, "model", f"{resource('R', 2)} priority: 3")
    options = ("--rate-limit=EXECUTION_COUNT", "--rate-limit-resource", "R:7", "--rate-limit-resource=S:1:0")
    with serving("--model-repository", tmp_path, *options) as server:
        body = {"inputs": [{"name": "INPUT0", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
        answer = httpx.post(f"http://{server.url('HTTP')}/v2/models/model/infer", json=body)
        assert answer.json()["outputs"][0]["data"] == [1, 2, 3, 4]
        metrics = httpx.get(f"http://{server.url('Metrics')}/metrics").text
        assert 'nv_rate_limiter_resource_amount{device="cpu",resource="R"} 7' in metrics
        status, _ = server.end()
    assert status == 0


def test_a_model_that_could_never_run_ends_the_start_with_the_reason(tmp_path: Path):
    write_limited(tmp_path, "model", resource("R", 4))
    code, output = refused(
        "--model-repository", str(tmp_path), "--rate-limit=execution_count", "--rate-limit-resource=R:3"
    )
    assert code == 1
    assert "failed to load all models: model" in output
    assert (
        'Resource count for "R" is limited to 3 which will prevent scheduling of one or more model instances, the minimum '
        "required count is 4"
    ) in output
