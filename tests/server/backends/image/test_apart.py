"""The largest WebP files are decoded in a process of their own, and nobody sees a difference."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_models import image_config, pictures, write_image_model
from picture_bytes import encoded, photo
from tcli_server import Engine
from tcli_server.backends.image import apart
from tcli_server.errors import InternalError, ServerError

NORMAL = {"scale": "1/255", "mean": "0.5", "std": "0.25", "resize": "shorter_side"}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    write_image_model(tmp_path, "m", image_config(parameters=NORMAL))
    return Engine(tmp_path)


def transparent() -> bytes:
    picture = photo()
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return encoded(picture, "WEBP", lossless=True)


@pytest.mark.parametrize("content", [encoded(photo(), "WEBP"), transparent()], ids=["colours", "transparent"])
def test_the_pixels_are_the_same(engine: Engine, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine:
        here = engine.infer("m", {"IMAGE": pictures(content)}).outputs["PIXELS"]
        monkeypatch.setattr(apart, "FEW_PIXELS", 0)
        elsewhere = engine.infer("m", {"IMAGE": pictures(content)}).outputs["PIXELS"]
    assert elsewhere.dtype == here.dtype
    assert np.array_equal(elsewhere, here)


def test_a_damaged_one_fails_alone_and_with_the_same_words(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encoded(photo(), "WEBP", lossless=True)
    damaged = whole[:60] + bytes(len(whole) - 60)
    with engine:
        with pytest.raises(ServerError) as here:
            engine.infer("m", {"IMAGE": pictures(damaged)})
        monkeypatch.setattr(apart, "FEW_PIXELS", 0)
        with pytest.raises(ServerError) as elsewhere:
            engine.infer("m", {"IMAGE": pictures(damaged)})
        assert str(elsewhere.value) == str(here.value)
        with pytest.raises(ServerError, match="item 1 of 2"):
            engine.infer("m", {"IMAGE": pictures(whole, damaged)})
        assert np.isfinite(engine.infer("m", {"IMAGE": pictures(whole)}).outputs["PIXELS"]).all()


def test_a_process_that_dies_is_an_error_of_the_picture(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "FEW_PIXELS", 0)
    monkeypatch.setattr(apart, "_PROGRAM", "import os; os.kill(os.getpid(), 9)")
    with engine, pytest.raises(ServerError, match="does not fit into the server's memory; fix: make it smaller"):
        engine.infer("m", {"IMAGE": pictures(encoded(photo(), "WEBP"))})


@pytest.mark.parametrize("fault", ["raise SystemExit(1)", "import os; os.kill(os.getpid(), 11)", "print('hello')", ""])
def test_a_process_that_breaks_is_no_error_of_the_client(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    small = encoded(photo(), "JPEG")
    monkeypatch.setattr(apart, "FEW_PIXELS", 0)
    monkeypatch.setattr(apart, "_PROGRAM", fault)
    with engine:
        with pytest.raises(InternalError, match="item 0 of 2: the process that decodes large WebPs ended with status"):
            engine.infer("m", {"IMAGE": pictures(encoded(photo(), "WEBP"), small)})
        monkeypatch.setattr("sys.executable", "/gone/python")
        with pytest.raises(InternalError, match="no process could be started"):
            engine.infer("m", {"IMAGE": pictures(encoded(photo(), "WEBP"))})
        assert np.isfinite(engine.infer("m", {"IMAGE": pictures(small)}).outputs["PIXELS"]).all()


def test_what_is_refused_by_its_size_needs_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image_model(tmp_path, "m", image_config(parameters={"max_pixels": "100"}))
    monkeypatch.setattr(apart, "FEW_PIXELS", 0)
    monkeypatch.setattr(apart, "_PROGRAM", "raise SystemExit(1)")
    with Engine(tmp_path) as engine, pytest.raises(ServerError, match="max_pixels allows 100"):
        engine.infer("m", {"IMAGE": pictures(encoded(photo(), "WEBP"))})
