"""How the data of a job on many machines is cut, and what its shares leave; without Ray."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tcli_batch import JobError, find_data
from tcli_batch.block import Cursor, Refusal
from tcli_batch.ray_data import shares
from tcli_batch.ray_data.output import Output
from tcli_batch.ray_data.shares import cut
from tcli_batch.signature import Signature, Tensor
from tcli_batch.sources.kinds import Kinds

KINDS = Kinds(None, Signature("m", "1", (Tensor("a", "FP32", (3,)),), (), 8, True))


def test_shares_begin_where_reading_can_and_are_all_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shares, "_ROWS", 10)
    monkeypatch.setattr(shares, "_FILES", 2)
    pq.write_table(pa.table({"a": np.arange(50.0)}), tmp_path / "a.parquet", row_group_size=7)
    np.save(tmp_path / "b.npy", np.zeros((25, 3)))
    (tmp_path / "c.csv").write_text("a\n" + "1\n" * 100)
    (tmp_path / "d.npy").write_bytes(b"no array")
    for name in ("e.png", "f.png", "g.png"):
        (tmp_path / name).touch()
    files = find_data([str(tmp_path / name) for name in ("*.parquet", "b.npy", "c.csv", "d.npy", "*.png")])
    found = cut(files, KINDS)
    starts = [share.start for share in found]
    assert starts == [
        *(Cursor(0, row) for row in (0, 14, 28, 42)),
        *(Cursor(1, row) for row in (0, 10, 20)),
        Cursor(2),
        Cursor(3),
        Cursor(4),
        Cursor(6),
    ]
    assert [share.stop for share in found] == [*starts[1:], Cursor(7)]
    assert [share.number for share in found] == list(range(len(found)))


@pytest.fixture(params=["", "file://"])
def output(tmp_path: Path, request: pytest.FixtureRequest) -> Output:
    return Output(f"{request.param}{tmp_path}/out.csv")


def commit(output: Output, number: int, text: str, *refusals: Refusal, folder: Path) -> None:
    part = folder / "part"
    part.write_text(text)
    output.commit(number, part, refusals, rows=1)


def test_a_share_that_is_worked_at_twice_is_there_once(output: Output, tmp_path: Path):
    output.begin({"model": "m"})
    bad = Refusal("x.csv", 3, "no number", Cursor(0, 3))
    for number in (1, 0, 1):
        commit(output, number, f"row {number}\n", *[bad] * number, folder=tmp_path)
    output.commit(2, None, [Refusal("x.csv", 9, "empty", Cursor(0, 9))], rows=0)
    assert output.unfinished
    assert Output(output.out).resume({"model": "m"}) == {0: (1, 0), 1: (1, 1), 2: (0, 1)}
    output.finish()
    parts = {path.name: path.read_text() for path in (tmp_path / "out.csv").iterdir()}
    assert parts == {"part-00000000.csv": "row 0\n", "part-00000001.csv": "row 1\n"}
    told = [json.loads(line) for line in (tmp_path / "out.csv.errors.jsonl").read_text().splitlines()]
    assert told == [
        {"source": "x.csv", "index": 3, "reason": "no number"},
        {"source": "x.csv", "index": 9, "reason": "empty"},
    ]
    assert not output.unfinished
    assert not (tmp_path / "out.csv.parts").exists()


def test_beginning_anew_takes_away_parts_and_nothing_else(output: Output, tmp_path: Path):
    (tmp_path / "out.csv.errors.jsonl").write_text("of an earlier job\n")
    for _ in range(2):
        output.begin({})
        assert list((tmp_path / "out.csv").iterdir()) == []
        commit(output, 0, "row", folder=tmp_path)
        output.finish()
    assert not (tmp_path / "out.csv.errors.jsonl").exists()
    (tmp_path / "out.csv" / "thesis.csv").touch()
    with pytest.raises(JobError, match=r"holds 'thesis\.csv'"):
        output.begin({})
    assert (tmp_path / "out.csv" / "part-00000000.csv").exists()


def test_what_lacks_the_end_of_its_upload_is_no_part(output: Output, tmp_path: Path):
    output.begin({})
    (tmp_path / "out.csv" / ".part-00000007.csv.0123").write_text("half a r")
    commit(output, 0, "row", folder=tmp_path)
    output.finish()
    assert [path.name for path in (tmp_path / "out.csv").iterdir()] == ["part-00000000.csv"]


def test_another_job_is_not_gone_on_with(output: Output, tmp_path: Path):
    output.begin({"model": "m", "shares": 2})
    with pytest.raises(JobError, match="shares was 2 and is 3"):
        output.resume({"model": "m", "shares": 3})
    (tmp_path / "out.csv.parts" / "job.json").write_text("{")
    with pytest.raises(JobError, match="damaged"):
        output.resume({"model": "m", "shares": 2})
