"""A job that is stopped, anywhere and in any way, goes on without a row lost or doubled."""

import json
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from killed_command import Commands, commands
from repositories import write_standard_models

FORMS = ["jsonl", "csv", "parquet", "npz"]
FILES = 5
SIGNALS = [signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM]
COMMAND = ["infer", *(f"{number}.jsonl" for number in range(FILES)), "-m", "add_sub", "--local"]


@pytest.fixture(scope="module")
def tcli() -> Iterator[Commands]:
    with commands() as started:
        yield started


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some files of rows, one of which is bad in each, and a repository."""
    folder = tmp_path_factory.mktemp("data")
    repository = write_standard_models(folder / "all")
    (folder / "model_repository").mkdir()
    shutil.copytree(repository / "add_sub", folder / "model_repository" / "add_sub")
    shutil.rmtree(repository)
    rng = np.random.default_rng(0)
    for number in range(FILES):
        rows = [{"INPUT0": rng.random(16).tolist(), "INPUT1": rng.random(16).tolist()} for _ in range(9)]
        rows[number]["INPUT1"] = [1, 2]
        (folder / f"{number}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def folder(data: Path, tmp_path: Path) -> Path:
    shutil.copytree(data, tmp_path / "here", copy_function=shutil.copy2)
    return tmp_path / "here"


def content(out: Path) -> object:
    """What a user finds in a file."""
    if out.suffix == ".parquet":
        return pq.read_table(out).to_pylist()
    if out.suffix == ".npz":
        with np.load(out) as arrays:
            return {name: array.tolist() for name, array in arrays.items()}
    return out.read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_killed_at_any_moment_it_goes_on(folder: Path, tcli: Commands, form: str):
    """Each start is killed a little later in its work, at random, until one comes to its end."""
    whole = tcli.run(folder, [*COMMAND, "-c", "2", "--raw", "-o", f"whole.{form}"])
    assert whole.status == 1, whole.errors
    assert "40 rows" in whole.errors
    assert whole.events > 60  # so that there is something to be killed in

    moments = random.Random(form)
    arguments = [*COMMAND, "-c", "2", "--raw", "-o", f"out.{form}", "--resume"]
    for _ in range(200):
        at = moments.randint(1, whole.events // 2)
        ended = tcli.run(folder, arguments, at, moments.choice(SIGNALS))
        if ended.status == 1:
            break
        assert ended.status in (-signal.SIGKILL, 130, -signal.SIGTERM), ended.errors
    else:
        pytest.fail("it never came to its end")
    assert content(folder / f"out.{form}") == content(folder / f"whole.{form}")
    errors = (folder / f"out.{form}.errors.jsonl").read_text()
    assert errors == (folder / f"whole.{form}.errors.jsonl").read_text()
    assert [json.loads(line)["index"] for line in errors.splitlines()] == list(range(FILES))
    assert tcli.run(folder, arguments).status == 1
    assert not (folder / f"out.{form}.parts").exists()


def test_killed_at_its_end_it_goes_on(folder: Path, tcli: Commands):
    """From the last part to the last thing that is taken away."""
    first = [*COMMAND, "-o", "out.jsonl"]
    last = tcli.run(folder, first).events
    expected = (folder / "out.jsonl").read_bytes()
    for at in random.Random(0).sample(range(last - 40, last + 1), 6):
        stopped = tcli.run(folder, [*first, "--overwrite"], at)
        assert stopped.status == -signal.SIGKILL
        ended = tcli.run(folder, [*first, "--resume"])
        assert ended.status == 1, ended.errors
        assert (folder / "out.jsonl").read_bytes() == expected
        assert not (folder / "out.jsonl.parts").exists()


def test_a_disk_that_is_full_costs_nothing_that_was_done(folder: Path, tcli: Commands):
    """First in a part, then where the parts become one file."""
    arguments = [*COMMAND, "-o", "out.jsonl", "--resume"]
    assert tcli.run(folder, [*COMMAND, "-o", "whole.jsonl"]).status == 1
    for limit, kept in ((2_000, False), (6_000, True)):
        full = tcli.run(folder, arguments, file_bytes=limit)
        assert full.status == 1
        assert "File too large" in full.errors
        assert "make room; what is done so far is kept: --resume goes on from there" in " ".join(full.errors.split())
        assert not (folder / "out.jsonl").exists()
        assert (folder / "out.jsonl.parts" / "00000004").is_dir() == kept
        assert not list((folder / "out.jsonl.parts").glob("0*.new"))
    ended = tcli.run(folder, [*arguments, "--json"])
    assert ended.status == 1
    assert json.loads(ended.errors[ended.errors.index("{") :])["resumed_rows"] == 40
    assert (folder / "out.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()
