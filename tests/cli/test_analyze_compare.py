"""`tcli analyze compare` as a user runs it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import forked_command
from stored_analyses import MACHINE, gain, results, write_results


def tcli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked_command.run("analyze", "compare", *arguments, cwd=folder)


def raced(*gains: tuple[str, str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Results with these comparisons: configuration, what it was raced against, how it did."""
    rows = [{"configuration": one, "against": other, **compared} for one, other, compared in gains]
    return results(finals={"comparisons": rows}, **more)


EIGHT, CURRENT, DEFAULTS = "batch 8, 1 instance", "current (batch 1, 1 instance)", "defaults (batch 1, 1 instance)"


def compared(folder: Path, first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    write_results(folder / "a", first)
    write_results(folder / "b", second)
    ran = tcli(folder, "a", "b/results.json", "--json")
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout))


def test_a_gain_that_both_measured_in_pairs_is_compared(tmp_path):
    found = compared(
        tmp_path,
        raced((EIGHT, CURRENT, gain(40, 35, 45))),
        raced((EIGHT, CURRENT, gain(12, 9, 15)), machine=MACHINE | {"cores": 4}),
    )
    (common,) = found["common"]
    assert (common["configuration"], common["over"], common["change"]) == (EIGHT, "current", "less in the second")
    assert found["agree"] is True
    assert [one["what"] for one in found["differences"]] == ["cores"]
    assert "Both recommend the same" in found["sentence"]
    assert "+40 % [+35, +45], then +12 % [+9, +15]" in found["sentence"]
    assert found["sentence"].endswith("What differs may be why: cores.")


def test_gains_whose_intervals_meet_are_not_called_different(tmp_path):
    found = compared(tmp_path, raced((EIGHT, CURRENT, gain(40, 30, 50))), raced((EIGHT, CURRENT, gain(55, 45, 65))))
    assert [one["change"] for one in found["common"]] == ["no difference can be told"]
    assert "No gain differs by more than both runs leave open." in found["sentence"]


def test_a_current_configuration_that_has_changed_is_no_common_ground(tmp_path):
    """After --apply the current configuration is another one: only the defaults are the same."""
    now = "current (batch 8, 2 instances)"
    found = compared(
        tmp_path,
        raced((EIGHT, CURRENT, gain(40, 35, 45)), (EIGHT, DEFAULTS, gain(80, 70, 90))),
        raced((EIGHT, now, gain(-10, -12, -8)), (EIGHT, DEFAULTS, gain(78, 70, 86))),
    )
    assert [one["over"] for one in found["common"]] == ["defaults"]


def test_configurations_are_known_by_their_settings_rather_than_their_labels(tmp_path):
    """Labels say what differs from the model's own configuration."""

    def rows(engine: str) -> list[dict[str, Any]]:
        return [
            {"stage": "final", "configuration": EIGHT, "engine": engine, "max_batch_size": 8, "instances": 1},
            {"stage": "final", "configuration": DEFAULTS, "engine": "onnxruntime", "max_batch_size": 1, "instances": 1},
        ]

    first = raced((EIGHT, DEFAULTS, gain(40, 35, 45)), points=rows("onnxruntime"))
    second = raced((EIGHT, DEFAULTS, gain(90, 85, 95)), points=rows("openvino"))
    found = compared(tmp_path, first, second)
    assert found["common"] == []
    assert found["agree"] is False
    assert "no configuration was raced in both against the same one" in found["sentence"]


def test_undecided_runs_say_nothing(tmp_path):
    undecided = {"outcome": "undecided", "configuration": CURRENT, "load": "concurrency 1"}
    found = compared(
        tmp_path,
        raced((EIGHT, CURRENT, gain(40, 35, 45))),
        raced((EIGHT, CURRENT, gain(0, -100, 0, pairs=2)), recommendation=undecided),
    )
    assert found["agree"] is None
    assert found["recommended"][1] == f"undecided; {CURRENT} stays"
    assert "b has no pairs of windows that prove anything" in found["sentence"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"model": "n"}, "they are of different models, m and n"),
        ({"objective": "latency"}, "one is of throughput, the other of latency"),
    ],
)
def test_what_is_not_of_the_same_thing_is_not_compared(tmp_path, more, said):
    first, second = raced((EIGHT, CURRENT, gain(40, 35, 45))), raced((EIGHT, CURRENT, gain(12, 9, 15)))
    found = compared(tmp_path, first, second | more)
    assert found["common"] == []
    assert said in found["sentence"]


def test_what_differs_of_model_inputs_and_space_is_named(tmp_path):
    identity = {"files": "1", "inputs": "1", "configurations": "1", "loads": "1", "current": "1"}
    found = compared(tmp_path, results(identity=identity), results(identity=identity | {"files": "2", "inputs": "2"}))
    assert [one["what"] for one in found["differences"]] == ["model files (or their dates)", "inputs"]


def test_people_get_two_tables_and_a_sentence(tmp_path):
    write_results(tmp_path / "a", raced((EIGHT, CURRENT, gain(40, 35, 45))))
    write_results(tmp_path / "b", raced((EIGHT, CURRENT, gain(12, 9, 15)), machine=MACHINE | {"tcli": "1.1"}))
    ran = tcli(tmp_path, "a", "b")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "A  a, m, 2026-01-02 10:00: batch 8, 1 instance at concurrency 16"
    assert "tcli       1.0  1.1" in lines
    assert any(line.startswith("batch 8, 1 instance over current  +40 % [+35, +45]  +12 % [+9, +15]") for line in lines)
    assert lines[-1].startswith("Both recommend the same.")


def test_a_folder_without_an_analysis_is_named(tmp_path):
    write_results(tmp_path / "a", results())
    ran = tcli(tmp_path, "a", "nowhere")
    assert ran.returncode == 1
    assert "no analysis in nowhere" in ran.stderr
    (tmp_path / "other.json").write_text('{"model": 1}')
    assert "other.json is not the results.json of an analysis" in tcli(tmp_path, "a", "other.json").stderr


def test_results_of_a_later_version_are_not_read(tmp_path):
    write_results(tmp_path / "a", results(schema_version=99))
    ran = tcli(tmp_path, "a", "a")
    assert ran.returncode == 1
    assert "is of a later version of tcli: its schema_version is 99" in ran.stderr
    assert "fix: upgrade tcli" in ran.stderr
