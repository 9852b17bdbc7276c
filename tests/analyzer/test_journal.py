"""What an analysis leaves on disk, and how it is gone on with."""

import json
import os
import sys

import numpy as np
import pytest

from small_files import small_files
from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.journal import Journal, JournalError, Origin, Record, mark_ended
from tcli_analyzer.measuring.window import Window
from tcli_analyzer.resources import GpuUse
from tcli_analyzer.target import Counters

SUBJECT = {"model": "m", "cores": 2}
ORIGIN = Origin("m_config_0", "concurrency 4", "check", 1, 1)


def window(first: float = 1.5) -> Window:
    return Window(
        began=1000.5,
        seconds=2.0,
        latencies_ms=np.array([first, 2.0, 4.25]),
        counters=Counters(3, 6, 2, 10, 20, 30, 40),
        processor=ProcessorTime(1.0, 0.5, 0.25, 0.125),
        memory_mib=100.0,
        gpu=GpuUse(50.0, 10.0),
        items=2,
        late_ms=0.5,
        overloaded=True,
    )


def test_a_window_comes_back_as_it_was(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, SUBJECT, resume=False) as journal:
        journal.add(Record(ORIGIN, (window(),)))
    with Journal(path, SUBJECT, resume=True) as journal:
        (record,) = journal.records
        journal.add(Record(ORIGIN, (window(9.0),)))
    assert record.origin == ORIGIN
    (kept,) = record.windows
    assert kept.latencies_ms.tolist() == [1.5, 2.0, 4.25]
    assert kept.throughput == window().throughput
    for name in ("began", "seconds", "counters", "processor", "memory_mib", "gpu", "items", "late_ms", "overloaded"):
        assert getattr(kept, name) == getattr(window(), name)
    with Journal(path, SUBJECT, resume=True) as journal:
        assert [record.windows[0].latencies_ms[0] for record in journal.records] == [1.5, 9.0]


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_line_that_was_cut_off_is_measured_again(tmp_path, kept: float):
    path = tmp_path / "journal.jsonl"
    with Journal(path, SUBJECT, resume=False) as journal:
        journal.add(Record(ORIGIN, (window(),)))
        before = path.stat().st_size
        journal.add(Record(ORIGIN, (window(),)))
    content = path.read_bytes()
    path.write_bytes(content[: before + int(kept * (len(content) - before))])
    with Journal(path, SUBJECT, resume=True) as journal:
        assert len(journal.records) == 1
        journal.add(Record(ORIGIN, (window(7.0),)))
    with Journal(path, SUBJECT, resume=True) as journal:
        assert [record.windows[0].latencies_ms[0] for record in journal.records] == [1.5, 7.0]


def test_it_tells_whether_its_analysis_has_ended(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, SUBJECT, resume=False) as journal:
        journal.add(Record(ORIGIN, (window(),)))
    mark_ended(path, "so")
    with Journal(path, SUBJECT, resume=True) as journal:
        assert journal.ended == "so"
        assert len(journal.records) == 1
        journal.add(Record(ORIGIN, (window(),)))
    with Journal(path, SUBJECT, resume=True) as journal:
        assert journal.ended is None  # it was gone on with
        assert len(journal.records) == 2


def test_another_subject_is_refused_with_the_difference(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, SUBJECT, resume=False):
        pass
    with (
        pytest.raises(JournalError, match="cores = 2, now it is 4"),
        Journal(path, {**SUBJECT, "cores": 4}, resume=True),
    ):
        pass
    with Journal(path, {**SUBJECT, "cores": 4}, resume=False) as journal:
        assert journal.records == []


@pytest.mark.parametrize(
    "content",
    [b"{}\n", b"no json\n", b"[1]\n", json.dumps({"tcli_journal": 99, "subject": SUBJECT}).encode() + b"\n"],
)
def test_what_is_no_journal_is_refused(tmp_path, content: bytes):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="start anew without --resume"), Journal(path, SUBJECT, resume=True):
        pass


@pytest.mark.parametrize("content", [b"", b'{"tcli_journal":1,"subj'])
def test_one_that_was_cut_off_before_anything_was_measured_begins_anew(tmp_path, content: bytes):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with Journal(path, SUBJECT, resume=True) as journal:
        assert journal.records == []
        journal.add(Record(ORIGIN, (window(),)))
    with Journal(path, SUBJECT, resume=True) as journal:
        assert len(journal.records) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_a_full_disk_is_told_with_the_file_and_what_was_whole_stays(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, SUBJECT, resume=False) as journal:
        journal.add(Record(ORIGIN, (window(),)))
    full = small_files(path.stat().st_size + 100)
    with (
        pytest.raises(OSError, match="File too large") as raised,
        full,
        Journal(path, SUBJECT, resume=True) as journal,
    ):
        journal.add(Record(ORIGIN, (window(2.0),)))
    assert raised.value.filename == str(path)
    with Journal(path, SUBJECT, resume=True) as journal:
        assert [record.windows[0].latencies_ms[0] for record in journal.records] == [1.5]


def test_a_damaged_line_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, SUBJECT, resume=False) as journal:
        journal.add(Record(ORIGIN, (window(),)))
    for damage in (b'"latencies_ms":"eJ', b'"latencies_ms":"!!'):
        broken = path.read_bytes().replace(b'"latencies_ms":"eJ', damage).replace(b'"seconds":2.0', b'"secs":2.0')
        other = tmp_path / "broken.jsonl"
        other.write_bytes(broken)
        with pytest.raises(JournalError, match="damaged"), Journal(other, SUBJECT, resume=True):
            pass


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b'"seconds":2.0', b'"seconds":NaN'),
        (b'"seconds":2.0', b'"seconds":0'),
        (b'"seconds":2.0', b'"seconds":"2"'),
        (b'"items":2', b'"items":null'),
        (b'"own":1.0', b'"own":[]'),
        (b'"processor":{', b'"processor":1,"gone":{'),
    ],
)
def test_values_that_nobody_can_count_with_are_refused(tmp_path, there: bytes, instead: bytes):
    path = tmp_path / "journal.jsonl"
    with Journal(path, SUBJECT, resume=False) as journal:
        journal.add(Record(ORIGIN, (window(),)))
    assert there in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(there, instead))
    with pytest.raises(JournalError, match="damaged"), Journal(path, SUBJECT, resume=True):
        pass


def test_a_header_without_a_subject_is_another_subject(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"tcli_journal":1,"subject":[]}\n')
    with pytest.raises(JournalError, match="Start anew"), Journal(path, SUBJECT, resume=True):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is locked there")
@pytest.mark.parametrize("resume", [False, True])
def test_two_analyses_in_one_folder_are_told_and_neither_loses_anything(tmp_path, resume: bool):
    path = tmp_path / "journal.jsonl"
    with Journal(path, SUBJECT, resume=False) as journal:
        journal.add(Record(ORIGIN, (window(),)))
        with pytest.raises(JournalError, match="another analysis"), Journal(path, SUBJECT, resume=resume):
            pass
        journal.add(Record(ORIGIN, (window(3.0),)))
    with Journal(path, SUBJECT, resume=True) as again:
        assert [record.windows[0].latencies_ms[0] for record in again.records] == [1.5, 3.0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
@pytest.mark.parametrize("resume", [False, True])
def test_a_pipe_in_its_place_is_refused_and_not_waited_for(tmp_path, resume: bool):
    path = tmp_path / "journal.jsonl"
    os.mkfifo(path)
    with pytest.raises(JournalError, match="is no file"), Journal(path, SUBJECT, resume=resume):
        pass
