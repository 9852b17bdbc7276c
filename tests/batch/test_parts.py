"""What becomes of the folder of parts: who may go on with it, and what is noticed before anything is asked."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from repositories import write_standard_models
from tcli_batch import (
    DataError,
    Job,
    JobError,
    JobOptions,
    LocalTransport,
    StoppedError,
    Summary,
    find_data,
    gathering,
    is_done,
)
from tcli_batch import job as job_module

ROWS = 40


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_standard_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[LocalTransport]:
    with LocalTransport(repository, ["add_sub"]) as running:
        yield running


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files in this folder, and a part for each request."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gathering, "_MOST_ROWS", 1)
    monkeypatch.setattr(job_module, "PART_BYTES", 1)
    for number, name in enumerate(("a.npz", "b.npz")):
        values = np.full((ROWS // 2, 16), number, np.float32)
        np.savez(name, INPUT0=values, INPUT1=values)


def job(server: LocalTransport, *names: str, **options: object) -> Job:
    return Job(server, find_data(list(names or ("a.npz", "b.npz"))), JobOptions("add_sub", **options))


def stopped(server: LocalTransport, rows: int = 24, out: str = "x.jsonl") -> Path:
    """An unfinished job."""
    stop = threading.Event()

    def moved(progress: object) -> None:
        if progress.rows >= rows:
            stop.set()

    with pytest.raises(StoppedError):
        job(server).run(Path(out), progress=moved, stop=stop)
    return Path(f"{out}.parts")


def resumed(server: LocalTransport) -> Summary:
    summary = job(server).run(Path("x.jsonl"), resume=True)
    assert [json.loads(line)["index"] for line in Path("x.jsonl").read_text().splitlines()] == [*range(ROWS // 2)] * 2
    assert not Path("x.jsonl.parts").exists()
    return summary


def test_a_stopped_job_keeps_what_was_answered(server: LocalTransport):
    stopped(server)
    assert not Path("x.jsonl").exists()
    assert not is_done(Path("x.jsonl"))
    summary = resumed(server)
    assert (summary.rows, summary.damaged) == (ROWS, "")
    assert 24 <= summary.resumed < ROWS
    assert is_done(Path("x.jsonl"))


def damage_description(parts: Path) -> None:
    (parts / "00000001" / "part.json").write_text('{"rows": 8')


def lose_description(parts: Path) -> None:
    (parts / "00000001" / "part.json").unlink()


def garble_description(parts: Path) -> None:
    (parts / "00000001" / "part.json").write_text('{"rows": "x", "refused": [], "after": 7, "bytes": 1}')


def cut_rows(parts: Path) -> None:
    rows = parts / "00000001" / "rows"
    rows.write_bytes(rows.read_bytes()[:-1])


def lose_rows(parts: Path) -> None:
    (parts / "00000001" / "rows").unlink()


def lose_part(parts: Path) -> None:
    shutil.rmtree(parts / "00000001")


@pytest.mark.parametrize(
    "damage", [damage_description, lose_description, garble_description, cut_rows, lose_rows, lose_part]
)
def test_after_a_damaged_part_its_rows_are_asked_about_again(server: LocalTransport, damage: Callable[[Path], None]):
    parts = stopped(server)
    first = json.loads((parts / "00000000" / "part.json").read_text())["rows"]
    damage(parts)
    summary = resumed(server)
    assert summary.resumed == first
    assert "1" in summary.damaged


@pytest.mark.parametrize("content", [b"", b'{"files": [', b"[]", b"\xff"])
def test_a_journal_that_is_damaged_is_told(server: LocalTransport, content: bytes):
    (stopped(server) / "job.json").write_bytes(content)
    with pytest.raises(JobError, match=r"job\.json' is damaged"):
        job(server).run(Path("x.jsonl"), resume=True)
    assert job(server).run(Path("x.jsonl"), overwrite=True).resumed == 0


def test_what_has_changed_is_noticed_and_said(server: LocalTransport, repository: Path):
    parts = stopped(server)

    def refused(words: str, *names: str, **options: object) -> None:
        with pytest.raises(JobError, match=words) as told:
            job(server, *names, **options).run(Path("x.jsonl"), resume=True)
        assert "--overwrite" in told.value.fix

    refused("another order", "b.npz", "a.npz")
    refused("'b.npz' was among its data", "a.npz")
    refused("classes was 0 and is 2", classes=2)
    refused('"INPUT0": .* and is', given={"INPUT0": ("INPUT1",)})
    labels = repository / "add_sub" / "labels.txt"
    before = labels.read_text()
    labels.write_text(before + "one more\n")
    refused("model 'add_sub' has changed since, its configuration or its files")
    labels.write_text(before)
    (repository / "add_sub" / "__pycache__").mkdir(exist_ok=True)
    (repository / "add_sub" / "__pycache__" / "x.pyc").write_text("")
    np.savez("c.npz", INPUT0=np.ones((1, 16), np.float32), INPUT1=np.ones((1, 16), np.float32))
    refused("'c.npz' was not among its data", "a.npz", "b.npz", "c.npz")
    np.savez("b.npz", INPUT0=np.ones((30, 16), np.float32), INPUT1=np.ones((30, 16), np.float32))
    refused("'b.npz' has changed since")
    assert parts.exists()


def test_two_jobs_do_not_write_one_file(server: LocalTransport):
    told: list[JobError] = []

    def moved(_: object) -> None:
        for how in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(JobError, match=r"another process writes 'x\.jsonl'") as problem:
                job(server).run(Path("x.jsonl"), **how)
            told.append(problem.value)

    assert job(server).run(Path("x.jsonl"), progress=moved).rows == ROWS
    assert told
    assert len(Path("x.jsonl").read_text().splitlines()) == ROWS


def test_what_is_in_the_way_is_told_before_anything_is_asked(server: LocalTransport):
    Path("folder.csv").mkdir()
    Path("file").write_text("precious")
    Path("there.csv").write_text("precious")
    Path("y.csv.errors.jsonl").mkdir()

    def refused(out: str, words: str, kind: type[Exception] = JobError) -> None:
        with pytest.raises(kind, match=words):
            job(server).run(Path(out), progress=lambda _: pytest.fail("asked"))

    refused("folder.csv", "'folder.csv' is a folder")
    refused("y.csv", "'y.csv.errors.jsonl' is a folder")
    refused("file/x.csv", "cannot be written: Not a directory")
    refused("there.csv", "'there.csv' is there already")
    refused("x.txt", "does not say what to write", DataError)
    assert not list(Path().glob("*.parts"))
    assert Path("there.csv").read_text() == "precious"
    assert job(server).run(Path("new/folder/x.csv")).rows == ROWS


def test_errors_of_a_job_before_do_not_stay(server: LocalTransport):
    Path("x.jsonl.errors.jsonl").write_text("{}")
    assert job(server).run(Path("x.jsonl")).refused == 0
    assert not Path("x.jsonl.errors.jsonl").exists()


def test_what_is_read_is_not_written_over(server: LocalTransport):
    before = Path("a.npz").read_bytes()
    with pytest.raises(JobError, match=r"'a\.npz' is among the data"):
        job(server).run(Path("a.npz"), overwrite=True)
    assert Path("a.npz").read_bytes() == before


def test_where_all_rows_are_refused_they_are_given_as_they_come(
    server: LocalTransport, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gathering, "_MOST_ROWS", 5)
    Path("bad.csv").write_text("INPUT0,INPUT1\n" + f'"{[1] * 16}","{[1] * 16}"\n' + "1\n" * 40_000)
    counts = [len(answers.refusals) for _, answers in job(server, "bad.csv").results()]
    assert sum(counts) == 40_000
    assert max(counts) < 20_000
