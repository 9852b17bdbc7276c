"""A model gets the same numbers whether `tcli infer` decodes a picture or the server does."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_models import image_config, pictures, write_image_model
from picture_bytes import USUAL, encoded, photo, turned
from tcli_client import PictureFormat, Scaling, preprocess
from tcli_server import Engine
from tcli_server.options import EngineOptions
from tcli_server.zoo.picture_scaling import SCALINGS

Decode = Callable[..., np.ndarray]


@pytest.fixture
def decode(tmp_path: Path) -> Iterator[Decode]:
    """Pixels that a model of a configuration makes of a picture."""
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")) as engine:
        loaded = set()

        def run(content: bytes, **options: object) -> np.ndarray:
            name = f"m{abs(hash(repr(options)))}"
            if name not in loaded:
                write_image_model(tmp_path, name, image_config(**options))
                engine.load(name)
                loaded.add(name)
            return engine.infer(name, {"IMAGE": pictures(content)}).outputs["PIXELS"][0]

        yield run


@pytest.mark.parametrize("name", USUAL)
def test_pictures_of_every_kind(decode: Decode, picture_folder: Path, name: str):
    for dims, form, parameters in (
        ("3, 32, 48", PictureFormat(32, 48, 3, "NCHW", "FP32"), {}),
        ("40, 40, 1", PictureFormat(40, 40, 1, "NHWC", "FP32"), {}),
    ):
        expected = preprocess(picture_folder / name, form, Scaling.NONE)
        assert np.array_equal(decode(USUAL[name], dims=dims, parameters=parameters), expected)


@pytest.mark.parametrize("kind", ["FP32", "FP16"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("scaling", SCALINGS)
def test_every_scaling(decode: Decode, picture_folder: Path, scaling: str, layout: str, kind: str):
    dims = "3, 32, 48" if layout == "NCHW" else "32, 48, 3"
    expected = preprocess(picture_folder / "jpeg", PictureFormat(32, 48, 3, layout, kind), Scaling(scaling))
    answer = decode(USUAL["jpeg"], dims=dims, kind=kind, parameters=SCALINGS[scaling])
    assert answer.dtype == expected.dtype
    assert np.array_equal(answer, expected)


def test_bytes_are_pixels_as_they_are(decode: Decode, picture_folder: Path):
    expected = preprocess(picture_folder / "webp", PictureFormat(32, 48, 3, "NHWC", "UINT8"), Scaling.NONE)
    assert np.array_equal(decode(USUAL["webp"], dims="32, 48, 3", kind="UINT8"), expected)


def test_the_channels_in_the_other_order(decode: Decode):
    rgb = decode(USUAL["png"], parameters={"mean": "1,2,3"})
    bgr = decode(USUAL["png"], parameters={"mean": "3,2,1", "color_format": "BGR"})
    assert np.array_equal(bgr[::-1], rgb)


def test_exif_can_be_left_alone(decode: Decode):
    as_stored = {"exif_transpose": "false"}
    assert np.array_equal(decode(turned(6), parameters=as_stored), decode(turned(1)))
    assert not np.array_equal(decode(turned(6)), decode(turned(1)))


def reference(image: Image.Image, size: tuple[int, int], cut: tuple[int, int], how: str = "BILINEAR") -> np.ndarray:
    """The plain way: resize to (width, height), then cut (width, height) out of the middle."""
    resized = image.resize(size, Image.Resampling[how])
    left, top = round((size[0] - cut[0]) / 2), round((size[1] - cut[1]) / 2)
    pixels = np.asarray(resized.crop((left, top, left + cut[0], top + cut[1])))
    return pixels.transpose(2, 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("picture", "parameters", "size", "cut"),
    [
        ((90, 60), {"resize": "shorter_side", "resize_to": "40"}, (60, 40), (32, 32)),
        ((60, 90), {"resize": "shorter_side", "resize_to": "40"}, (40, 60), (32, 32)),
        ((601, 397), {"resize": "shorter_side", "resize_to": "36"}, (54, 36), (32, 32)),
        ((20, 30), {"resize": "shorter_side"}, (32, 48), (32, 32)),
        ((32, 32), {"resize": "shorter_side"}, (32, 32), (32, 32)),
        ((90, 60), {"resize_to": "44"}, (44, 44), (32, 32)),
        ((90, 60), {"resize": "exact", "resize_to": "33x64"}, (64, 33), (32, 32)),
        ((90, 60), {"resize": "none"}, (90, 60), (32, 32)),
        ((91, 61), {"resize": "none"}, (91, 61), (32, 32)),
        ((90, 60), {"interpolation": "bicubic"}, (32, 32), (32, 32)),
        ((90, 60), {"interpolation": "nearest"}, (32, 32), (32, 32)),
        ((90, 60), {"interpolation": "lanczos", "resize": "shorter_side", "resize_to": "50"}, (75, 50), (32, 32)),
    ],
)
def test_resize_then_cut(
    decode: Decode,
    picture: tuple[int, int],
    parameters: Mapping[str, str],
    size: tuple[int, int],
    cut: tuple[int, int],
):
    image = photo(*picture)
    answer = decode(encoded(image, "PNG"), dims="3, 32, 32", parameters=parameters)
    expected = reference(image, size, cut, parameters.get("interpolation", "bilinear").upper())
    assert np.abs(answer - expected).max() <= 1  # a rounding of 0..255


def test_a_picture_that_is_too_small_to_be_cut(decode: Decode):
    from tcli_server.errors import InvalidArgumentError

    with pytest.raises(InvalidArgumentError, match=r'90 x 60 pixels, the model takes 100 x 60 .* resize: "none"'):
        decode(USUAL["png"], dims="3, 60, 100", parameters={"resize": "none"})
    assert decode(USUAL["png"], dims="3, 60, 90", parameters={"resize": "none"}).shape == (3, 60, 90)


def test_limits_are_the_configurations(decode: Decode):
    from tcli_server.errors import InvalidArgumentError

    content, bytes_ = USUAL["png"], len(USUAL["png"])
    for key, enough, reason in (
        ("max_pixels", 90 * 60, "90 x 60 pixels, which are 5,400; max_pixels allows 5,399"),
        ("max_bytes", bytes_, f"{bytes_:,} bytes, max_bytes allows {bytes_ - 1:,}"),
    ):
        assert decode(content, parameters={key: str(enough)}).shape == (3, 32, 48)
        with pytest.raises(InvalidArgumentError, match=reason):
            decode(content, parameters={key: str(enough - 1)})
