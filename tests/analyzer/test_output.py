"""What lies in the folder of an analysis: complete, or as it was before."""

import json
from pathlib import Path

import pytest

from small_files import small_files
from tcli_analyzer.output import Wanted, write_failures, write_output
from told_analyses import told, unmeasured

EVERYTHING = Wanted(png=True, markdown=True, parquet=True)
OWN = {
    "results.csv",
    "results.json",
    "report.html",
    "recommended/net/config.pbtxt",
    "results/metrics-model-inference.csv",
    "latency/net_config_4.hgrm",
    "variants/net_config_default/config.pbtxt",
}
ASKED = {"report.md", "results.parquet", "plots/front.png", "plots/gains.png", "plots/heat-map.png"}


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_written_and_nothing_stays_half_made(tmp_path):
    written = write_output(told(tmp_path), None, tmp_path / "out", EVERYTHING)
    found = files_of(tmp_path / "out")
    assert found.keys() >= (OWN | ASKED)
    assert not [name for name in found if name.startswith(".")]
    assert written.report == tmp_path / "out" / "report.html"
    assert {path.name for path in written.others} == {"plots", "report.md", "results.parquet"}
    assert found["plots/front.png"].startswith(b"\x89PNG")


def test_what_an_older_run_left_goes_and_what_is_others_stays(tmp_path):
    out = tmp_path / "out"
    write_output(told(tmp_path), None, out, EVERYTHING)
    own = [out / "notes.txt", out / "plots" / "mine.png", out / "variants" / "other_config_0" / "config.pbtxt"]
    stale = [out / "variants" / "net_config_99" / "config.pbtxt", out / "latency" / "net_config_99.hgrm"]
    stale.append(out / ".new-999999999" / "report.html")
    for path in (*own, *stale):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    write_output(told(tmp_path), None, out)
    left = files_of(out)
    assert left.keys() >= OWN
    assert not ASKED & left.keys()
    assert all(path.read_text() == "before" for path in own)
    assert not [path for path in stale if path.exists()]
    assert not (out / "variants" / "net_config_99").exists()


def test_where_nothing_could_be_measured_every_reason_is_written_and_an_older_run_goes(tmp_path):
    out = tmp_path / "out"
    write_output(told(tmp_path), None, out, EVERYTHING)
    (out / "notes.txt").write_text("mine")
    assert write_failures(unmeasured(tmp_path), out) == out / "results.json"
    assert files_of(out).keys() == {"results.json", "notes.txt"}
    document = json.loads((out / "results.json").read_text())
    assert (document["recommendation"], document["points"], document["finals"]) == (None, [], None)
    assert [one["configuration"] for one in document["failures"]][:2] == [
        "batch 16, 1 instance",
        "batch 16, 2 instances",
    ]
    assert "out of memory" in document["failures"][0]["message"]
    assert "'Foo'" in document["failures"][-1]["message"]


@pytest.mark.parametrize("most", [100, 60_000])
def test_a_full_disk_costs_nothing_that_was_there(tmp_path, most):
    out = tmp_path / "out"
    write_output(told(tmp_path), None, out)
    before = files_of(out)
    with small_files(most), pytest.raises(OSError, match="large") as raised:
        write_output(told(tmp_path, undecided=True), None, out, EVERYTHING)
    assert Path(raised.value.filename).parent in (out, out / "recommended" / "net")
    assert files_of(out) == before


def test_a_file_in_the_way_is_named(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "variants").write_text("mine")
    with pytest.raises(OSError, match="variants"):
        write_output(told(tmp_path), None, out)
    assert (out / "variants").read_text() == "mine"


def test_the_document_is_strict_json(tmp_path):
    written = write_output(told(tmp_path), None, tmp_path / "out")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(written.json.read_text(), parse_constant=refuse)
