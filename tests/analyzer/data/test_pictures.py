"""Inputs from picture files: what `tcli infer` sends, for every kind of classifier."""

from pathlib import Path

import numpy as np
import pytest

from colour_models import write_colour_models
from described_models import taking
from image_models import image_config, write_image_model
from picture_bytes import encoded, photo
from tcli_analyzer.data import DataError, DataSource, Limits
from tcli_analyzer.target import EngineTarget
from tcli_client import ImageClassifier, connect
from tcli_client.preprocess import preprocess
from tcli_server import Engine

MODELS = ("colours", "a_placeholder", "nhwc", "no_format", "explicit", "fixed_two", "uint8", "half", "grey")
IMAGE = "IMAGE"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(encoded(photo(60 + number, 40), "PNG"))
    (folder / ".hidden.png").write_bytes(b"broken")
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_a_picture_is_what_the_client_would_send(colour_urls: dict[str, str], photos: Path, name: str):
    files = sorted(map(str, photos.glob("[0-9].png")))
    with connect(colour_urls["grpc"]) as server:
        classifier = ImageClassifier(server, name)
        config = server.model_config(name)
        form, scaling = classifier.model.form, classifier.model.scaling
        together = 2 if name == "fixed_two" else 1
        sent = [
            classifier.question([preprocess(file, form, scaling) for file in files[start : start + together]], 1)
            for start in range(0, len(files), together)
        ]
    requests = DataSource((str(photos),)).make(config, 1)
    assert len(requests) == len(sent)
    for request, question in zip(requests, sent, strict=True):
        expected = question.inference.inputs["picture"]
        assert request["picture"].dtype == expected.dtype
        if name == "explicit":
            expected = expected.reshape(request["picture"].shape)
        np.testing.assert_array_equal(request["picture"], expected)


def test_a_model_runs_on_them_in_batches(tmp_path: Path, photos: Path):
    repository = write_colour_models(tmp_path / "models")
    with EngineTarget(repository, "colours") as target:
        config = target.load()
        requests = DataSource((str(photos),)).make(config, 3)
        assert [one["picture"].shape[0] for one in requests] == [3, 3]
    with Engine(repository) as engine:
        whole = engine.infer("colours", requests[0]).outputs["scores"]
        single = engine.infer("colours", {"picture": requests[0]["picture"][1:2]}).outputs["scores"]
    np.testing.assert_allclose(whole[1:2], single, rtol=1e-5)


def test_a_model_that_decodes_pictures_gets_the_files(tmp_path: Path, photos: Path):
    write_image_model(tmp_path, "m", image_config())
    (photos / "3.png").write_bytes(b"\x89PNG\r\n broken")
    source = DataSource((str(photos),))
    with Engine(tmp_path) as engine:
        config = engine.model_config("m")
        (first, second) = source.make(config, 2)
        engine.infer("m", first)
    assert first[IMAGE][1, 0] == (photos / "1.png").read_bytes()
    assert second[IMAGE].shape == (2, 1)
    look = source.look(config)
    assert look.items == 3
    (note,) = [note for note in look.notes if "left out" in note]
    assert "1 of 4" in note
    assert "3.png (the picture is truncated or damaged" in note


def test_sizes_that_vary_are_given_with_a_shape(photos: Path):
    config = taking("pixels FP32 [ 3, -1, -1 ]")
    assert DataSource((str(photos),)).make(config, 1)[0]["pixels"].shape == (1, 3, 224, 224)
    for source in (DataSource((str(photos),), {"pixels": (3, 64, 32)}), DataSource((str(photos), "pixels:3,64,32"))):
        assert source.make(config, 1)[0]["pixels"].shape == (1, 3, 64, 32)


def test_a_detector_with_several_outputs_takes_pictures_too(photos: Path):
    more = 'output { name: "BOXES" data_type: TYPE_FP32 dims: [ 100, 4 ] }'
    config = taking("pixels FP32 [ 3, 32, 32 ]", "threshold FP32 [ 1 ]", more=more)
    source = DataSource((str(photos), "threshold:0.5..0.5"))
    request = source.make(config, 2)[0]
    assert request["pixels"].shape == (2, 3, 32, 32)
    assert request["threshold"].tolist() == [[0.5], [0.5]]


def test_pictures_of_sub_folders_and_many_of_them(photos: Path):
    config = taking("pixels UINT8 [ 3, 32, 32 ]")
    (photos / "deeper").mkdir()
    (photos / "deeper" / "x.png").write_bytes(encoded(photo(), "PNG"))
    assert DataSource((f"{photos}/**/*.png",)).look(config).items == 5
    look = DataSource((str(photos),), limits=Limits(items=2)).look(config)
    assert look.items == 2
    assert "4 pictures" in look.summary


@pytest.mark.parametrize(
    ("config", "content", "message"),
    [
        (taking("pixels FP32 [ 3, 32, 32 ]"), {}, "there is no file in this folder"),
        (taking("pixels FP32 [ 3, 32, 32 ]"), {".x.png": b""}, "there is no file in this folder"),
        (taking("pixels FP32 [ 3, 32, 32 ]"), {"a.csv": b"1", "b.csv": b"2"}, "no picture in this folder.*end in .csv"),
        (
            taking("pixels FP32 [ 3, 32, 32 ]"),
            {"a.png": b"no", "b.png": b""},
            "nothing of it can be read: .*a.png .*b.png",
        ),
        (taking("rows FP32 [ 16 ]"), {"a.png": encoded(photo(), "PNG")}, "cannot be given to input 'rows'"),
        (
            taking("left FP32 [ 3, 8, 8 ]", "right FP32 [ 3, 8, 8 ]"),
            {"a.png": encoded(photo(), "PNG")},
            "several do: left, right",
        ),
        (taking("words STRING [ 7 ]"), {"a.png": encoded(photo(), "PNG")}, r"takes BYTES \[7\], not one picture file"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, config, content: dict[str, bytes], message: str):
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        DataSource((str(tmp_path),)).make(config, 1)


def test_what_describes_pictures_beside_them_is_not_taken_for_data(photos: Path):
    (photos / "labels.json").write_text("{}")
    (photos / "labels.npy").write_bytes(b"")
    assert DataSource((str(photos),)).look(taking("pixels FP32 [ 3, 32, 32 ]")).items == 4
