"""What `tcli analyze` says at its end, in terminals of any width, pipes and old encodings."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tcli_analyzer.analysis import Analysis
from tcli_analyzer.evidence.race import Race
from tcli_analyzer.goal import Goal
from tcli_analyzer.output import Written
from told_analyses import told
from triton_cli.analyze_result import show_result

RESUME = "tcli analyze -m net --latency-budget 300 --resume"
OUT = Path("analysis/net")
WRITTEN = Written(
    OUT / "results.csv", OUT / "results.json", OUT / "report.html", OUT / "recommended/net/config.pbtxt", None, False,
    OUT / "variants", (OUT / "plots",),
)  # fmt: skip


def shown(
    width: int = 80,
    terminal: bool = True,
    encoding: str = "utf-8",
    applying: bool = False,
    analysis: Analysis | None = None,
    **more: object,
) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(
        file=file, force_terminal=terminal, width=width, highlight=False, soft_wrap=True, emoji=False, no_color=True
    )
    show_result(console, analysis or told(Path("x"), **more), WRITTEN, RESUME, applying)
    file.flush()
    return raw.getvalue().decode(encoding).replace("\x1b[1m", "").replace("\x1b[0m", "")


def words(text: str) -> str:
    return " ".join(text.split())


def test_it_says_what_is_best_by_how_much_at_what_cost_and_what_to_do():
    text = words(shown())
    assert "Take batch 8, 1 instance: 71.0 infer/s" in text
    assert "+54 % [+50, +58] more throughput than the current configuration" in text
    assert "240 MiB of memory (now 180)" in text
    assert "ms of processor time an inference (now" in text
    assert "Its answers against today's: 64 inputs" in text
    assert f"{RESUME} --apply" in text
    assert "* marks the recommendation" in text


def test_it_says_what_is_wrong_and_what_failed():
    text = words(shown())
    assert "rejected batch 8, 1 instance, openvino bf16 (212 infer/s in the search): its largest difference is" in text
    assert "batch 16, 4 instances and 1 more: out of memory" in text
    assert "openvino does not know the operator 'Foo'" in text
    assert "x: its answers are others, or could not be compared: it cannot win" in text


def test_nothing_is_marked_where_nothing_is_decided():
    text = shown(undecided=True)
    assert not [line for line in text.splitlines() if line.lstrip().startswith(("*", "="))]
    assert "marks the recommendation" not in text
    assert "--apply" not in text
    assert "costs" not in text
    assert f"    {RESUME}\n" in text
    assert "Go on, when the machine is quiet, with:" in text


def test_where_every_finalist_failed_it_is_said_why_and_nothing_of_a_quiet_machine():
    analysis = told(Path("x"), rates=False)
    assert not analysis.lost_finalists
    reason = "the process that ran it came to an end: exit status 7"
    lost = tuple((point, reason) for point in analysis.finals.points)
    analysis.finals = replace(analysis.finals, points=(), race=Race(), failures=lost)
    assert analysis.lost_finalists
    text = words(shown(analysis=analysis))
    assert "Undecided: nothing could be measured again for the finals." in text
    assert f"and 1 more: {reason}. When that is mended, go on with:" in text
    assert "quiet" not in text.partition("Best configurations")[0]


def test_a_machine_that_was_quiet_is_not_asked_to_be_so():
    analysis = told(Path("x"), rates=False)
    analysis.finals = replace(analysis.finals, race=Race())
    assert "next Go on with:" in words(shown(analysis=analysis))


def test_a_server_is_told_what_to_copy_and_apply_is_not_offered_while_it_is_done():
    assert "--apply" not in shown(applying=True)


@pytest.mark.parametrize("width", [50, 80, 200])
def test_lines_fit_into_the_terminal_but_for_what_is_copied(width):
    lines = shown(width, goal=Goal(latency_budget_ms=300)).splitlines()
    copied = (RESUME, "analysis/net")
    assert max(len(line) for line in lines if not any(word in line for word in copied)) <= width


def test_a_pipe_gets_whole_lines_and_no_colours():
    text = shown(terminal=False)
    assert "\x1b" not in text
    assert any(len(line) > 150 for line in text.splitlines())


def test_any_encoding_will_do():
    text = shown(encoding="ascii")
    assert "Take batch 8" in text
    assert "infer/s" in text


def test_a_rate_is_told_with_its_interval():
    assert "takes 59.64 requests/s [56.8, 63.9] with p99 <= 200 ms; confirmed by 2,000 requests" in words(shown())
    assert "--slo" not in words(shown())
