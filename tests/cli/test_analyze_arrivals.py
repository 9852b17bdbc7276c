"""What `--arrivals` and its options mean."""

import json
import subprocess
from pathlib import Path

import pytest

import forked_command
from stored_analyses import results, write_results


def tcli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked_command.run("analyze", "-m", "m", "--what-if", "--batch-sizes", "4", *arguments, cwd=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_results(tmp_path / "analysis" / "m", results())
    times = [second * 0.05 for second in range(100)] + [5 + second * 0.1 for second in range(50)]
    (tmp_path / "times.txt").write_text("\n".join(f"{time:.3f}" for time in times))
    return tmp_path


def rates(folder: Path, *arguments: str) -> list[float]:
    ran = tcli(folder, "--json", *arguments)
    assert ran.returncode == 0, ran.stderr
    return sorted({one["request_rate"] for one in json.loads(ran.stdout)["answers"]})


def test_a_recording_is_played_at_its_own_rate(folder):
    (rate,) = rates(folder, "--arrivals", "times.txt")
    assert rate == pytest.approx(150 / 9.9, rel=0.02)


def test_it_can_be_played_faster_and_in_part(folder):
    window = ("--arrivals", "times.txt", "--arrivals-window", "0-5")
    assert rates(folder, *window, "--arrivals-speed", "0.5,2") == pytest.approx([10, 40], rel=0.02)
    assert rates(folder, "--arrivals", "times.txt", "--arrivals-window", "5-") == pytest.approx([10], rel=0.02)


def test_rates_that_are_named_go_before_its_own(folder):
    assert rates(folder, "--arrivals", "times.txt", "--request-rates", "30") == [30]


def test_a_file_says_how_its_recording_is_played(folder):
    (folder / "all.yaml").write_text("arrivals: times.txt\narrivals_speed: [0.5, 2]\narrivals_window: 0-5\n")
    config = ("--config", "all.yaml")
    assert rates(folder, *config) == pytest.approx([10, 40], rel=0.02)
    assert rates(folder, *config, "--arrivals-speed", "1") == pytest.approx([20], rel=0.02)
    assert rates(folder, *config, "--arrivals", "times.txt") == pytest.approx([150 / 9.9], rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--arrivals", "constant"),
            "--arrivals: 'constant' says how the requests of a rate come, and there is no rate; add --request-rates or --slo",
        ),
        (("--arrivals-speed", "2"), "--arrivals-speed: needs a file of recorded arrivals"),
        (("--arrivals", "constant", "--arrivals-window", "0-5"), "--arrivals-window: needs a file"),
        (("--arrivals", "times.txt", "--arrivals-speed", "0"), "'0': expected numbers above 0"),
        (("--arrivals", "times.txt", "--arrivals-speed", "fast"), "'fast': expected numbers above 0"),
        (("--arrivals", "times.txt", "--arrivals-window", "5"), "'5': expected seconds from its first request"),
        (("--arrivals", "times.txt", "--arrivals-window", "5-2"), "'5-2': expected seconds"),
        (("--arrivals", "times.txt", "--arrivals-window", "100-200"), "it has times from 0 to 9.9 s"),
        (("--arrivals", "nowhere.txt"), "'nowhere.txt': expected poisson, constant, or a file"),
        (
            ("--arrivals", "times.txt", "--arrivals-speed", "2", "--request-rates", "30"),
            "--arrivals-speed: not with --request-rates, which says at what rates it is played; leave one of them out",
        ),
        (
            ("--arrivals", "times.txt", "--arrivals-speed", "2", "--slo", "p99<=50ms"),
            "--arrivals-speed: not with --slo, which says at what rates",
        ),
        (
            ("--arrivals", "times.txt", "--concurrency", "4"),
            "--arrivals: a recording is played at rates, and --concurrency has none; leave that out, or add --request-rates",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(folder, arguments, said):
    ran = tcli(folder, *arguments)
    assert ran.returncode == 2
    assert said in " ".join(ran.stderr.split())
