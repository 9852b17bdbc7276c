"""Pictures through every kind of model that takes them, decoded beside each other and answered in order."""

import json
from pathlib import Path

import pytest
from PIL import Image

from colour_models import write_colour_models
from tcli_batch import DataError, Job, JobOptions, LocalTransport, find_data
from tcli_client import OptionError, Scaling

COLOURS = [(255, 51, 0), (0, 51, 255), (0, 255, 0)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_colour_models(folder)
    return folder


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> str:
    """60 pictures of three colours, of many sizes; every tenth is none."""
    folder = tmp_path_factory.mktemp("shots")
    for number in range(60):
        file = folder / f"{number:02}.png"
        if number % 10 == 9:
            file.write_bytes(b"no picture")
        else:
            Image.new("RGB", (8 + number * 7 % 50, 8 + number), COLOURS[number % 3]).save(file)
    return str(folder)


@pytest.mark.parametrize("model", ["colours", "a_placeholder", "nhwc", "no_format", "explicit", "uint8", "half"])
def test_rows_are_in_the_order_of_the_files(tmp_path: Path, repository: Path, shots: str, model: str):
    with LocalTransport(repository, [model]) as server:
        options = JobOptions(model, scaling=Scaling.NONE, classes=1, raw=False)
        job = Job(server, find_data([shots]), options)
        assert job.total == 60
        summary = job.run(tmp_path / "x.jsonl")
    assert (summary.rows, summary.refused) == (54, 6)
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    numbers = [int(Path(row["source"]).stem) for row in rows]
    assert numbers == [number for number in range(60) if number % 10 != 9]
    assert [row["classes"]["scores"][0]["index"] for row in rows] == [[0, 2, 1][number % 3] for number in numbers]
    errors = [json.loads(line) for line in (tmp_path / "x.jsonl.errors.jsonl").read_text().splitlines()]
    assert [int(Path(error["source"]).stem) for error in errors] == [9, 19, 29, 39, 49, 59]


def test_what_does_not_go_with_the_model_is_told_before_anything_is_read(repository: Path, shots: str):
    with LocalTransport(repository, ["uint8", "fixed_two"]) as server:
        with pytest.raises(OptionError, match="UINT8 input cannot hold"):
            Job(server, find_data([shots]), JobOptions("uint8", scaling=Scaling.INCEPTION))
        with pytest.raises(DataError, match="takes 2 pictures at a time"):
            Job(server, find_data([shots]), JobOptions("fixed_two"))
