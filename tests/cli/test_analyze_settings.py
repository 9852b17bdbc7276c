"""What the options of `tcli analyze` and its file say reaches the analysis, which is not run here."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tcli_analyzer.arrivals import Distribution
from tcli_analyzer.goal import Objective
from tcli_analyzer.space import SpaceValues
from triton_cli.analyze_settings import Settled
from triton_cli.app import app

EVERYTHING = """
model: m
objective: latency
latency_budget: 50
tolerance: 0.01
tie: 3
search: grid
seed: 7
arrivals: constant
measurement_interval: 250
memory_limit: 2048
png: true
parquet: true
space: {request_rates: [5]}
"""


@pytest.fixture
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Settles a command line; what would be measured is only looked at."""
    taken: list[Settled] = []
    monkeypatch.setattr("triton_cli.analyze.run", lambda settled, *_: taken.append(settled))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.yaml").write_text(EVERYTHING)

    def settle(*arguments: str) -> Settled:
        ran = CliRunner().invoke(app, ["analyze", *arguments])
        assert ran.exit_code == 0, ran.output
        return taken.pop()

    return settle


def test_dimensions_reach_the_space(settled):
    found = settled(
        "-m", "m", "--batch-sizes", "1,8", "--instance-counts", "2", "--client-batch-sizes", "1,4", "--concurrency", "3",
        "--request-rates", "10", "--queue-delays", "1ms", "--preferred-batch-sizes", "4+8", "--threads", "auto,2",
        "--engines", "onnxruntime,openvino", "--providers", "cpu,cuda", "--precisions", "f32,bf16",
        "--graph-levels", "all,basic",
    )  # fmt: skip
    assert found.options.space == SpaceValues(
        (1, 8), (2,), (1, 4), (3,), (10.0,), (1000,), ((4, 8),), (0, 2),
        ("onnxruntime", "openvino"), ("cpu", "cuda"), ("f32", "bf16"), (0, -1),
    )  # fmt: skip


def test_what_is_not_said_is_as_documented(settled):
    found = settled("-m", "m")
    options = found.options
    assert (options.tie, options.window_seconds, options.memory, options.tolerance) == (0.02, 0.5, None, None)
    assert (found.folder, options.repositories) == (Path("analysis/m"), (Path("model_repository"),))
    assert found.also == (False, False, False)


def test_numbers_reach_the_analysis_in_its_units(settled):
    found = settled(
        "-m", "m", "--tolerance", "0.05", "--tie", "4", "--memory-limit", "512", "--measurement-interval", "100",
        "--seed", "9", "-o", "here", "--markdown",
    )  # fmt: skip
    options = found.options
    assert (options.tolerance, options.tie, options.memory) == (0.05, 0.04, 512 << 20)
    assert (options.window_seconds, options.seed, found.folder) == (0.1, 9, Path("here"))
    assert found.also == (False, True, False)


def test_a_file_says_the_same(settled):
    found = settled("--config", "all.yaml")
    options = found.options
    assert (options.model, options.search, options.seed) == ("m", "grid", 7)
    assert (options.goal.objective, options.goal.latency_budget_ms) == (Objective.LATENCY, 50)
    assert (options.tolerance, options.tie, options.memory) == (0.01, 0.03, 2048 << 20)
    assert (options.window_seconds, options.distribution) == (0.25, Distribution.CONSTANT)
    assert options.space.request_rates == (5.0,)
    assert found.also == (True, False, True)


def test_the_command_line_goes_before_the_file(settled):
    found = settled(
        "--config", "all.yaml", "--tie", "5", "--memory-limit", "1", "--measurement-interval", "20", "--tolerance", "0",
        "--arrivals", "poisson", "--markdown",
    )  # fmt: skip
    options = found.options
    assert (options.tie, options.memory, options.window_seconds, options.tolerance) == (0.05, 1 << 20, 0.02, 0)
    assert options.distribution is Distribution.POISSON
    assert found.also == (True, True, True)
