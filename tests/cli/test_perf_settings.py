"""What the options of `tcli perf` say reaches the measurement, which is not made here."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tcli_analyzer.data import Strings
from triton_cli.app import app
from triton_cli.perf_options import OPTION_ERROR, REFUSED


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch):
    """Settles a command line; what would be measured is only looked at."""
    taken: list[SimpleNamespace] = []

    def take(asked, source, _plan, options, files, _verbose):
        taken.append(SimpleNamespace(asked=asked, source=source, options=options, files=files))

    monkeypatch.setattr("triton_cli.perf_run.run", take)

    def settle(*arguments: str) -> SimpleNamespace:
        ran = CliRunner().invoke(app, ["perf", "-m", "m", *arguments])
        assert ran.exit_code == 0, ran.output
        return taken.pop()

    return settle


def test_windows_end_by_time_or_by_answers(settled):
    assert settled("--measurement-request-count", "70").options.window_requests == 0
    assert settled("--measurement-mode", "count_windows").options.window_requests == 50
    counted = settled("--measurement-mode", "count_windows", "--measurement-request-count", "70").options
    assert (counted.window_requests, counted.interval_seconds) == (70, 5.0)


def test_strings_are_made_as_said(settled):
    assert settled().source.strings == Strings(128, "")
    assert settled("--string-length", "7").source.strings == Strings(7, "")
    assert settled("--string-data", "one").source.strings == Strings(128, "one")


def test_sequences_are_made_as_said(settled):
    usual = settled().asked.sequences
    assert (usual.length, usual.variation, usual.first_id, usual.pool) == (None, 0.2, 1, 4)
    said = settled(
        "--sequence-length", "6", "--sequence-length-variation", "50", "--start-sequence-id", "40",
        "--num-of-sequences", "3",
    ).asked.sequences  # fmt: skip
    assert (said.length, said.variation, said.first_id, said.pool) == (6, 0.5, 40, 3)
    ranged = settled("--sequence-id-range", "5:9").asked.sequences
    assert (ranged.first_id, ranged.last_id) == (5, 8)


def test_more_columns_are_asked_for(settled):
    assert settled("--verbose-csv").files.verbose_csv
    assert not settled().files.verbose_csv


@pytest.mark.parametrize("option", REFUSED)
def test_every_option_that_is_not_there_says_what_to_do(option: str):
    for given in ([option, "1"], [f"{option}=1"]):
        ran = CliRunner().invoke(app, ["perf", "-m", "m", *given], env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"})
        assert ran.exit_code == OPTION_ERROR
        said = " ".join(ran.output.replace("│", "").split())
        assert f"{option} is an option of perf_analyzer that there is not here; {REFUSED[option]}" in said
