"""The report opens in a real browser, offline, and shows what was measured."""

import html
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from measured_points import BUSY, finals, point
from tcli_analyzer.report import render_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
]


@pytest.fixture(scope="module")
def text(done) -> str:
    return done.written.report.read_text(encoding="utf-8")


def visible(text: str) -> str:
    """The document without its scripts."""
    return html.unescape(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_it_says_what_was_found(done, text):
    shown = visible(text)
    assert done.analysis.recommendation.sentence() in shown
    assert "max_batch_size" in shown
    assert done.analysis.machine.processor in shown
    assert shown.count('<th scope="row">') == len(done.analysis.points) + len(done.analysis.finals.points)
    assert "placeholder weights" in shown


def test_it_needs_no_other_file(text):
    shown = visible(text)
    assert "default-src 'none'" in shown
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", shown)


def test_points_that_were_disturbed_are_marked(done):
    busy = point(1, 1, [100], processor=BUSY)
    analysis = replace(done.analysis, points=[busy], finals=finals([point(1, 1, [100], current=True)]))
    assert '<td class="no">0/1</td>' in visible(render_report(analysis, "max_batch_size: 0"))
    quiet = replace(analysis, points=[point(1, 1, [100])])
    assert '<td class="no">' not in visible(render_report(quiet, ""))


def test_names_cannot_break_the_page(done):
    analysis = replace(done.analysis, notes=["<script>alert(1)</script>"])
    page = render_report(analysis, "# </pre><script>")
    assert "<script>alert" not in page
    assert "</pre><script>" not in page


@pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_it_without_complaint(done, tmp_path: Path, width):
    page = done.written.report
    command = [
        BROWSER,
        *FLAGS,
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}",
        f"--window-size={width},900",
        "--dump-dom",
        page.as_uri(),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.stdout.count("</svg>") >= 8, ran.stderr[-2000:]
    assert "CONSOLE" not in ran.stderr, ran.stderr
