"""The numbers that reach the model, against formulas written out here."""

import ml_dtypes
import numpy as np
import pytest
from PIL import Image

from tcli_client import OptionError, PictureFormat, Scaling, preprocess


@pytest.fixture
def photo(tmp_path):
    """A 40 x 30 picture of random colours."""
    pixels = np.random.default_rng(3).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def colours(tmp_path):
    """Red, green, blue and white pixels in a row, so that no resize changes them."""
    Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)).save(
        tmp_path / "colours.png"
    )
    return tmp_path / "colours.png"


def form(datatype="FP32", channels=3, layout="NCHW", height=1, width=4) -> PictureFormat:
    return PictureFormat(height, width, channels, layout, datatype)


def triton_image_client(path, height: int, width: int, scaling: str) -> np.ndarray:
    """What NVIDIA's Python image client sends for an FP32 NCHW model: the published rules in our own words."""
    pixels = np.array(Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
    values = pixels.astype(np.float32)
    if scaling == "INCEPTION":
        values = (values / 127.5) - 1
    elif scaling == "VGG":
        values = values - np.asarray((123, 117, 104), dtype=np.float32)
    return np.transpose(values, (2, 0, 1))


@pytest.mark.parametrize("scaling", ["NONE", "INCEPTION", "VGG"])
@pytest.mark.parametrize("size", [(16, 20), (61, 53)])
def test_fp32_values_are_those_of_tritons_client(photo, scaling, size):
    found = preprocess(photo, form(height=size[0], width=size[1]), Scaling(scaling))
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, triton_image_client(photo, *size, scaling))


@pytest.mark.parametrize(
    ("scaling", "white", "black"),
    [
        ("NONE", (255, 255, 255), (0, 0, 0)),
        ("INCEPTION", (1, 1, 1), (-1, -1, -1)),
        ("VGG", (132, 138, 151), (-123, -117, -104)),
        ("IMAGENET", (2.2489083, 2.4285715, 2.64), (-2.117904, -2.0357144, -1.8044444)),
    ],
)
def test_known_pixels(colours, scaling, white, black):
    found = preprocess(colours, form(), Scaling(scaling))
    assert found.shape == (3, 1, 4)
    np.testing.assert_allclose(found[:, 0, 3], white, rtol=1e-6)
    # Channel c of the pixel of another colour is black's.
    np.testing.assert_allclose([found[0, 0, 1], found[1, 0, 2], found[2, 0, 0]], black, rtol=1e-6)


def test_nhwc_is_the_same_picture_with_channels_last(photo):
    nchw = preprocess(photo, form(height=5, width=7), Scaling.IMAGENET)
    nhwc = preprocess(photo, form(height=5, width=7, layout="NHWC"), Scaling.IMAGENET)
    assert nhwc.shape == (5, 7, 3)
    np.testing.assert_array_equal(nhwc.transpose(2, 0, 1), nchw)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [("NONE", 76), ("INCEPTION", 76 / 127.5 - 1), ("VGG", 76 - 128), ("IMAGENET", (76 / 255 - 0.449) / 0.226)],
)
def test_grey(colours, scaling, expected):
    found = preprocess(colours, form(channels=1), Scaling(scaling))
    assert found.shape == (1, 1, 4)
    assert found[0, 0, 0] == pytest.approx(expected, rel=1e-6)  # ITU-R 601: red is 0.299


@pytest.mark.parametrize(("datatype", "dtype"), [("FP16", np.float16), ("BF16", ml_dtypes.bfloat16)])
def test_16_bit_floats_are_rounded_once_at_the_end(photo, datatype, dtype):
    found = preprocess(photo, form(datatype, height=9, width=9), Scaling.INCEPTION)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, preprocess(photo, form(height=9, width=9), Scaling.INCEPTION).astype(dtype))


def test_doubles_are_computed_as_doubles(photo):
    found = preprocess(photo, form("FP64", height=30, width=40), Scaling.INCEPTION)
    pixels = np.asarray(Image.open(photo)).astype(np.float64)
    np.testing.assert_array_equal(found, (pixels / 127.5 - 1).transpose(2, 0, 1))


@pytest.mark.parametrize("datatype", ["UINT8", "UINT16", "INT16", "INT32", "UINT32", "INT64", "UINT64"])
def test_integers_take_plain_pixel_values(colours, datatype):
    assert preprocess(colours, form(datatype), Scaling.NONE)[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("datatype", "scaling", "says"),
    [
        ("UINT8", "INCEPTION", "fractions"),
        ("INT32", "IMAGENET", "fractions"),
        ("UINT8", "VGG", "-123 to 151"),
        ("UINT64", "VGG", "-123 to 151"),
        ("INT8", "VGG", "-123 to 151"),
        ("INT8", "NONE", "0 to 255"),
    ],
)
def test_a_datatype_that_cannot_hold_the_values_is_refused_instead_of_wrapping_around(colours, datatype, scaling, says):
    with pytest.raises(OptionError, match=says):
        preprocess(colours, form(datatype), Scaling(scaling))


def test_vgg_fits_signed_integers(colours):
    assert preprocess(colours, form("INT16"), Scaling.VGG)[:, 0, 0].tolist() == [132, -117, -104]
    assert preprocess(colours, form("INT8", channels=1), Scaling.VGG)[0, 0, 0] == 76 - 128
