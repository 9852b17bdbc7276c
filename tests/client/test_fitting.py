"""What a configuration says of pictures, as `tcli infer` does it: the same as the server's backend `image`, to the bit."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc.model_config_pb2 import TYPE_FP32, ModelConfig
from tritonclient.grpc.service_pb2 import ModelMetadataResponse

from tcli_client import ImageError, OptionError, Scaling, preprocess
from tcli_client.image_model import ImageModel, image_model
from tcli_client.preprocess import check_scaling
from tcli_server.backends.image.parameters import complaints, read_plan
from tcli_server.backends.image.pixels import Pixels


def model(parameters: dict[str, str], dims: tuple = (3, 20, 24), datatype: str = "FP32") -> ImageModel:
    """What the client makes of a model with these parameters."""
    config = ModelConfig(name="m", max_batch_size=4)
    for key, value in parameters.items():
        config.parameters[f"tcli_image_{key}"].string_value = value
    metadata = ModelMetadataResponse(name="m", versions=["1"])
    metadata.inputs.add(name="x", datatype=datatype, shape=[-1, *dims])
    metadata.outputs.add(name="y", datatype="FP32", shape=[-1, 5])
    return image_model(metadata, config)


def by_the_server(parameters: dict[str, str], file: Path, dims: tuple = (3, 20, 24)) -> np.ndarray:
    """What the backend makes of a picture."""
    config = ModelConfig(name="p", max_batch_size=4)
    config.output.add(name="PIXELS", data_type=TYPE_FP32, dims=dims)
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    assert complaints(config) == []
    plan = read_plan(config)
    into = np.empty(plan.shape, np.float32)
    with Image.open(file) as image:
        Pixels(plan).write(image.convert("L" if plan.shape[0] == 1 else "RGB"), into)
    return into


@pytest.fixture(params=[(50, 80), (81, 47), (20, 24), (200, 31)], ids=lambda size: f"{size[0]}x{size[1]}")
def photo(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    pixels = np.random.default_rng(3).integers(0, 256, (*request.param, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize(
    "parameters",
    [
        {"scale": "1/255", "mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"},
        {"resize": "shorter_side", "resize_to": "32", "interpolation": "bicubic"},
        {"resize": "shorter_side", "scale": "0.0039", "mean": "0.5"},
        {"resize": "exact", "resize_to": "30x28", "interpolation": "lanczos", "std": "2,3,4"},
        {"color_format": "BGR", "mean": "1,2,3"},
        {"scale": "3/255", "interpolation": "nearest"},
    ],
    ids=lambda parameters: " ".join(parameters),
)
def test_values_are_those_of_the_server(photo: Path, parameters: dict[str, str]):
    made = model(parameters)
    assert made.notes == ("model 'm' names no format: NCHW is read from its dims [3, 20, 24]",)
    given = (
        parameters if {"scale", "mean", "std"} & parameters.keys() else {"scale": "1/127.5", "mean": "1", **parameters}
    )
    np.testing.assert_array_equal(preprocess(photo, made.form, made.scaling), by_the_server(given, photo))


def test_grey(photo: Path):
    parameters = {"scale": "1/255", "mean": "0.5", "resize": "shorter_side", "resize_to": "30"}
    made = model(parameters, (1, 28, 28))
    np.testing.assert_array_equal(
        preprocess(photo, made.form, made.scaling), by_the_server(parameters, photo, (1, 28, 28))
    )


def test_a_named_scaling_in_bgr(photo: Path):
    made = model({"color_format": "BGR", "scaling": "IMAGENET"})
    assert made.scaling == Scaling.IMAGENET
    plain = model({"scaling": "IMAGENET"})
    found, rgb = (preprocess(photo, one.form, one.scaling) for one in (made, plain))
    np.testing.assert_array_equal(found, rgb[::-1])


def test_a_size_for_a_model_that_takes_any():
    made = model({"height": "48", "width": "64"}, (3, -1, -1))
    assert (made.form.height, made.form.width) == (48, 64)
    assert not any("any size" in note for note in made.notes)
    assert model({"height": "48", "width": "64"}).form.height == 20
    assert any("any size" in note for note in model({"height": "48"}, (3, -1, -1)).notes)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"resize": "shortest"}, "tcli_image_resize is 'shortest', expected exact, shorter_side, none"),
        ({"resize_to": "0"}, "tcli_image_resize_to is '0'"),
        ({"resize_to": "1x2x3"}, "tcli_image_resize_to is '1x2x3'"),
        ({"resize_to": "10"}, "tcli_image_resize_to is 10x10, less than the 20x24 that it takes"),
        ({"interpolation": "cubic"}, "tcli_image_interpolation is 'cubic'"),
        ({"color_format": "GBR"}, "tcli_image_color_format is 'GBR'"),
        ({"height": "tall"}, "tcli_image_height is 'tall'"),
        ({"scale": "1/0"}, "tcli_image_scale is '1/0'"),
        ({"scale": "nan"}, "tcli_image_scale is 'nan'"),
        ({"mean": "1,2"}, "tcli_image_mean is '1,2', expected one number, or 3"),
        ({"mean": "9" * 100}, "tcli_image_mean is '" + "9" * 60 + "'"),
        ({"std": "1,0,1"}, "tcli_image_std is '1,0,1', expected numbers other than 0"),
    ],
)
def test_what_is_not_understood_is_noted_and_left_out(photo: Path, parameters: dict[str, str], says: str):
    made, plain = model(parameters), model({})
    assert [note for note in made.notes if says in note]
    np.testing.assert_array_equal(
        preprocess(photo, made.form, made.scaling), preprocess(photo, plain.form, plain.scaling)
    )


def test_bytes_cannot_hold_fractions():
    made = model({"scale": "1/255", "mean": "0.5"}, datatype="UINT8")
    with pytest.raises(OptionError, match=r"x / 255 - 0\.5\) scaling gives fractions, which the model's UINT8"):
        check_scaling(made.scaling, made.form)


def test_a_picture_that_is_only_cut(tmp_path: Path):
    pixels = np.arange(30 * 30 * 3, dtype=np.uint8).reshape(30, 30, 3)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    Image.fromarray(pixels[:10]).save(tmp_path / "small.png")
    made = model({"resize": "none", "scale": "1"})
    found = preprocess(tmp_path / "large.png", made.form, made.scaling)
    np.testing.assert_array_equal(found, pixels[5:25, 3:27].transpose(2, 0, 1))
    np.testing.assert_array_equal(found, by_the_server({"resize": "none"}, tmp_path / "large.png"))
    with pytest.raises(ImageError, match="30 x 10 pixels, and the model, which takes 24 x 20, wants none resized"):
        preprocess(tmp_path / "small.png", made.form, made.scaling)
