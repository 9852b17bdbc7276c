"""Classifiers that get the decoding of pictures put before them: the same answers as of pixels that `tcli infer` sends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from colour_models import write_colour_models
from conftest import LOOPBACK
from picture_bytes import USUAL
from tcli_client import EncodedClassifier, ImageClassifier, Scaling, connect
from tcli_server import Engine
from tcli_server.errors import AlreadyExistsError, InvalidArgumentError
from tcli_server.models.check import check_repository
from tcli_server.models.overview import completed_config
from tcli_server.repository import ModelFolder, read_config
from tcli_server.serving import Server
from tcli_server.zoo import add_pictures

TAKEN = ("colours", "a_placeholder", "nhwc", "no_format", "explicit", "uint8", "half", "grey")
"""Those of `colour_models` that take one picture; `fixed_two` and `half_two` take two."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models, and those in front of them; read only."""
    folder = write_colour_models(tmp_path_factory.mktemp("pictures") / "models")
    for name in TAKEN:
        add_pictures(folder, completed_config(ModelFolder(name, folder / name)))
    return folder


@pytest.fixture(scope="module")
def url(repository: Path) -> Iterator[str]:
    """Of a real server of them."""
    with Server(Engine(repository), LOOPBACK) as running:
        yield f"http://127.0.0.1:{running.http_port}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Four pictures of different kinds."""
    folder = tmp_path_factory.mktemp("files")
    names = ("jpeg-turned-6", "png-palette-transparent", "webp-alpha", "jpeg-cmyk")
    for name in names:
        (folder / name).write_bytes(USUAL[name])
    return [str(folder / name) for name in names]


def test_all_of_it_is_right_as_written(repository: Path):
    assert [problem for problem in check_repository(repository) if problem.blocks] == []


@pytest.mark.parametrize("name", TAKEN)
def test_the_answers_are_those_of_tcli_infer(url: str, files: list[str], name: str):
    with connect(url) as server:
        pixels = ImageClassifier(server, name)
        expected = [result.classes for result in pixels.classify(files, classes=3)]
        encoded = EncodedClassifier(server, name)
        assert encoded.model.name == f"{name}_pictures"
        assert encoded.model.placeholder == pixels.model.placeholder
        assert [result.classes for result in encoded.classify(files, classes=3)] == expected
        assert all(expected)


def test_labels_are_inherited(url: str, files: list[str]):
    with connect(url) as server:
        (result,) = EncodedClassifier(server, "colours_pictures").classify(files[:1])
        assert result.classes[0].label in ("red: hot", "green", "blue")


def test_a_scaling_that_is_asked_for(tmp_path: Path, files: list[str]):
    folder = write_colour_models(tmp_path / "models")
    config = completed_config(ModelFolder("colours", folder / "colours"))
    for scaling in Scaling:
        add_pictures(folder, config, f"s_{scaling.value}", scaling=scaling.value)
    with Server(Engine(folder), LOOPBACK) as running, connect(f"grpc://127.0.0.1:{running.grpc_port}") as server:
        pixels = ImageClassifier(server, "colours")
        for scaling in Scaling:
            expected = [result.classes for result in pixels.classify(files, 3, scaling)]
            encoded = EncodedClassifier(server, f"s_{scaling.value}")
            assert [result.classes for result in encoded.classify(files, 3)] == expected


def test_options_are_parameters_and_names_are_free(tmp_path: Path):
    folder = write_colour_models(tmp_path / "models")
    options = {"resize": "shorter_side", "resize_to": "9", "color_format": "BGR"}
    config = completed_config(ModelFolder("colours", folder / "colours"))
    added = add_pictures(folder, config, "mine", options, "IMAGENET", instances=3)
    assert (added.ensemble.name, added.preprocess.name) == ("mine", "mine_preprocess")
    written = read_config(added.preprocess / "config.pbtxt")
    values = {key: value.string_value for key, value in written.parameters.items()}
    assert values.items() >= options.items()
    assert values["mean"] == "0.406,0.456,0.485"  # of B, G, R
    assert written.instance_group[0].count == 3
    assert [problem for problem in check_repository(folder) if problem.blocks] == []


def test_what_is_there_is_kept(tmp_path: Path):
    folder = write_colour_models(tmp_path / "models")
    config = completed_config(ModelFolder("colours", folder / "colours"))
    added = add_pictures(folder, config)
    (added.preprocess / "note").touch()
    with pytest.raises(AlreadyExistsError, match="colours_pictures already exists"):
        add_pictures(folder, config)
    assert (added.preprocess / "note").exists()
    add_pictures(folder, config, force=True)
    assert not (added.preprocess / "note").exists()


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("fixed_two", {}, r"does not take one picture: its input 'picture' has dims \[2, 3, 8, 6\]"),
        ("colours", {"scaling": "HALF"}, "no scaling 'HALF': expected NONE, INCEPTION, VGG, IMAGENET"),
        ("colours", {"parameters": {"resize": "fit"}}, "exact or shorter_side or none"),
        ("colours", {"name": "../up"}, "cannot name a model"),
        ("uint8", {"scaling": "IMAGENET"}, "a floating-point output"),
    ],
)
def test_what_cannot_be(tmp_path: Path, model: str, options: dict, words: str):
    folder = write_colour_models(tmp_path / "models")
    before = sorted(folder.iterdir())
    with pytest.raises(InvalidArgumentError, match=words):
        add_pictures(folder, completed_config(ModelFolder(model, folder / model)), **options)
    assert sorted(folder.iterdir()) == before
