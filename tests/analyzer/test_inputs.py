"""Requests to measure with: random, but of a kind that the model takes."""

from pathlib import Path

import pytest

from image_models import image_config, write_image_model
from tcli_analyzer.inputs import random_requests
from tcli_server import Engine


@pytest.mark.parametrize("max_batch_size", [0, 4])
def test_a_model_of_pictures_gets_pictures(tmp_path: Path, max_batch_size: int) -> None:
    write_image_model(tmp_path, "m", image_config(max_batch_size=max_batch_size))
    with Engine(tmp_path) as engine:
        requests = random_requests(engine.model_config("m"), {"IMAGE": (1,)}, 3)
        again = random_requests(engine.model_config("m"), {"IMAGE": (1,)}, 3)
        pixels = [engine.infer("m", request).outputs["PIXELS"] for request in requests]
    assert all(each.std() > 10 for each in pixels)  # not of one colour
    assert len({each.tobytes() for each in pixels}) == 3
    assert [one["IMAGE"].tolist() for one in again] == [one["IMAGE"].tolist() for one in requests]
