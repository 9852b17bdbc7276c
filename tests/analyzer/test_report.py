"""The report says what was found, needs nothing else, and is read in a browser of any width and on paper."""

import html
import re
import struct
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest

from chromium import BROWSER, FLAGS
from measured_points import BUSY, finals, point
from tcli_analyzer.analysis import Analysis
from tcli_analyzer.goal import Goal, Objective
from tcli_analyzer.report import CHARTS, pictures, render_markdown, render_report
from tcli_analyzer.report.drawing import NARROW, WIDE
from told_analyses import told

MOST_BYTES = 1_500_000

pytestmark = pytest.mark.filterwarnings("error::UserWarning")


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return told(tmp_path_factory.mktemp("told"))


@pytest.fixture(scope="module")
def page(analysis) -> str:
    return render_report(analysis, "max_batch_size: 8\n")


def words(page: str) -> str:
    """All that is read, in one line."""
    body = re.sub(r"<(style|title)[^>]*>.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def charts(page: str) -> dict[str, str]:
    """The elements by name and width, such as "front-wide"."""
    found = re.findall(r'<div class="chart (\w+)">(<svg.*?</svg>)', page, flags=re.DOTALL)
    return {f"{number}-{width}": svg for number, (width, svg) in enumerate(found)}


def test_a_real_analysis_says_what_was_found(done):
    page = done.written.report.read_text(encoding="utf-8")
    shown = words(page)
    assert done.analysis.recommendation.sentence() in html.unescape(page)
    assert "max_batch_size" in shown
    assert done.analysis.machine.processor in shown
    assert "placeholder weights" in shown
    table = page[page.index("All points") :]
    assert table.count('<th scope="row"') == len(done.analysis.points) + len(done.analysis.finals.points)


@pytest.mark.parametrize(
    "text",
    [
        "Take batch 8, 1 instance",
        "It takes 240 MiB of memory (now 180)",
        "+54.3 % [+50.5, +58.2], 6 pairs",
        "9 rounds in 30 s, 3 of 36 windows dropped",
        "takes 59.64 requests/s [56.8, 63.9] with p99 <= 200 ms",
        "22 points not measured; the chance that one is more than 3 % better: 4 %.",
        "wrong: cannot win",
        "58 of 64 (81 to 96 %)",
        "10 of 96 windows were disturbed: up to 1.0 of 2 cores; most: cc1plus 12 s, python3 3 s.",
        "out of memory: the process was ended at 2,048 MiB",
        "batch 16, 4 instances and 1 more",
        "Some Processor 9000 @ 2.4 GHz",
    ],
)
def test_everything_is_told(page, text):
    assert text in words(page)


def test_it_needs_no_other_file_and_no_script(page):
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", page)
    assert len(page.encode()) < MOST_BYTES


def test_a_large_space_stays_small(analysis):
    many = [
        replace(one, load=replace(one.load, concurrency=callers))
        for callers in range(1, 21)
        for one in analysis.points
        if hasattr(one.load, "concurrency")
    ]
    assert len(many) > 400
    assert len(render_report(replace(analysis, points=many), "").encode()) < MOST_BYTES


def test_charts_are_drawn_for_both_widths_and_their_words_are_words(page):
    found = charts(page)
    assert len(found) == 2 * len(CHARTS)
    for name, svg in found.items():
        root = ET.fromstring(svg)
        width = float(root.attrib["viewBox"].split()[2])
        assert width == (NARROW if name.endswith("narrow") else WIDE).width
        assert root.attrib["aria-label"]
        assert [one.text for one in root.iter("text")]
    front = next(svg for svg in found.values() if "and of the finalists" in svg)
    assert "p99 latency (ms)" in front
    assert "<title>C: batch 8, 1 instance, concurrency 16: 71.0 infer/s" in front


def test_no_two_elements_of_a_page_have_the_same_id(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)


def test_a_users_own_style_of_matplotlib_changes_nothing(analysis, page):
    with matplotlib.rc_context({"font.size": 40, "svg.fonttype": "path", "axes.facecolor": "black"}):
        assert render_report(analysis, "max_batch_size: 8\n") == page


def test_an_undecided_one_claims_nothing(tmp_path):
    page = render_report(told(tmp_path, undecided=True), "")
    shown = words(page)
    assert "Undecided: others disturbed 12 of 12 windows" in shown
    assert "★" not in shown.replace("A star marks", "")
    assert '<tr class="chosen">' not in page
    assert "0 pairs, too few to tell" in shown
    assert "It takes" not in shown


def test_points_that_were_disturbed_are_marked(done):
    busy = point(1, 1, [100], processor=BUSY)
    analysis = replace(done.analysis, points=[busy], finals=finals([point(1, 1, [100], current=True)]))
    assert '<td class="no">0/1</td>' in render_report(analysis, "max_batch_size: 0")
    quiet = replace(analysis, points=[point(1, 1, [100])])
    assert '<td class="no">' not in render_report(quiet, "")


def test_a_page_can_be_made_of_hardly_anything(done):
    one = point(1, 1, [100], current=True)
    only = replace(done.analysis, points=[one], finals=None, accuracy={}, prediction=None, rates={})
    assert "All points" in render_report(only, "")
    raced = replace(only, finals=finals([one, point(1, 2, [100])]))
    assert "The finals" in render_report(raced, "")
    unseen = point(1, 1, [100], processor=None, current=True)
    assert "cannot be seen here" in render_report(replace(only, points=[unseen], finals=None), "")


def test_the_lowest_latency_is_another_goal(tmp_path):
    shown = words(render_report(told(tmp_path, goal=Goal(Objective.LATENCY, 500)), ""))
    assert "Lowest p99 latency (ms) by max_batch_size and instances" in shown
    assert "budget 500 ms" in shown
    assert "less p99 latency" in shown
    assert "+35.4 % [" in shown  # from 416 ms to 269


def test_names_cannot_break_the_page(analysis):
    hostile = replace(analysis, notes=["<script>alert(1)</script>"])
    page = render_report(hostile, "# </pre><script>")
    assert "<script" not in page
    assert page.count("</pre>") == 1


def test_pictures_are_larger_than_the_page_has_them(analysis):
    found = pictures(analysis)
    assert set(found) == set(CHARTS)
    for content in found.values():
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", content[16:24])
        assert width == 2 * WIDE.width
        assert height > 200


def test_markdown_has_the_tables_and_shows_the_pictures_that_there_are(analysis):
    hostile = replace(analysis, notes=["a | b <b> `c` [d](e)"])
    text = render_markdown(hostile, "max_batch_size: 8\n", {"front": "plots/front.png"})
    assert text.startswith("# Analysis of net\n")
    assert "](plots/front.png)" in text
    assert text.count("![") == 1
    assert "```\nmax_batch_size: 8\n```" in text
    assert r"a \| b \<b\> \`c\` \[d\](e)" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1, block


@pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")
def test_a_browser_shows_it_without_complaint(page, tmp_path: Path):
    report = tmp_path / "report.html"
    report.write_text(page, encoding="utf-8")
    command = [BROWSER, *FLAGS, "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"]
    ran = subprocess.run(
        [*command, "--dump-dom", report.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stdout.count("</svg>") == 2 * len(CHARTS), ran.stderr[-2000:]
    assert "CONSOLE" not in ran.stderr, ran.stderr


@pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")
@pytest.mark.parametrize("width", [360, 800, 1280])
def test_no_page_is_wider_than_its_window(page, tmp_path: Path, width):
    """In a frame of that width, as no window of a browser is as narrow as a telephone's."""
    inner = html.escape(page.replace("script-src", "x"), quote=True)
    probe = (
        f'<iframe id="f" width="{width}" height="800" srcdoc="{inner}"></iframe><script>onload = () => {{'
        "const page = document.getElementById('f').contentDocument, root = page.documentElement;"
        "const shown = [...page.querySelectorAll('.chart')].filter(one => one.offsetWidth).map(one => one.className);"
        "document.title = JSON.stringify([root.scrollWidth <= root.clientWidth, [...new Set(shown)]]);"
        "}</script>"
    )
    outer = tmp_path / "probe.html"
    outer.write_text(f"<!DOCTYPE html><meta charset=utf-8><title>-</title>{probe}", encoding="utf-8")
    command = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1600,1000", "--dump-dom"]
    ran = subprocess.run([*command, outer.as_uri()], capture_output=True, text=True, timeout=120, check=False)
    title = re.search(r"<title>(.*?)</title>", ran.stdout)
    assert title is not None, ran.stderr[-2000:]
    kind = "narrow" if width < 640 else "wide"
    assert html.unescape(title[1]) == f'[true,["chart {kind}"]]'
