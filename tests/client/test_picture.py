"""Picture files of every kind become what a person sees."""

import os
import threading

import numpy as np
import pytest
from PIL import Image

from tcli_client import ImageError
from tcli_client.picture import read_picture

RED, GREEN = (250, 0, 0), (10, 200, 30)


def corner_picture() -> Image.Image:
    """60 x 40, green, with a red corner at the top left."""
    image = Image.new("RGB", (60, 40), GREEN)
    image.paste(RED, (0, 0, 20, 20))
    return image


def read(path, mode="RGB") -> np.ndarray:
    return np.asarray(read_picture(path, mode, (4, 4))).astype(int)


def near(found, expected, tolerance=4) -> bool:
    return bool(np.abs(np.asarray(found) - np.asarray(expected)).max() <= tolerance)


@pytest.mark.parametrize("name", ["p.png", "p.bmp", "p.tiff", "p.webp", "p.gif", "p.jpg", "p.ppm"])
def test_formats(tmp_path, name):
    corner_picture().save(tmp_path / name, **({"lossless": True} if name == "p.webp" else {"quality": 95}))
    pixels = read(tmp_path / name)
    assert pixels.shape == (40, 60, 3)
    assert near(pixels[5, 5], RED)
    assert near(pixels[35, 55], GREEN)


@pytest.mark.parametrize(
    ("orientation", "red_corner"),
    [
        *[(1, (5, 5)), (2, (5, -5)), (3, (-5, -5)), (4, (-5, 5))],
        *[(5, (5, 5)), (6, (5, -5)), (7, (-5, -5)), (8, (-5, 5))],
    ],
)
def test_exif_rotation_is_applied(tmp_path, orientation, red_corner):
    exif = Image.Exif()
    exif[0x0112] = orientation
    corner_picture().save(tmp_path / "p.jpg", exif=exif, quality=95)
    pixels = read(tmp_path / "p.jpg")
    assert pixels.shape[:2] == ((40, 60) if orientation < 5 else (60, 40))
    assert near(pixels[red_corner], RED)
    assert near(pixels[-red_corner[0], -red_corner[1]], GREEN)


@pytest.mark.filterwarnings("ignore")
def test_damaged_exif_does_not_lose_the_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    corner_picture().save(tmp_path / "p.jpg", exif=exif)
    content = (tmp_path / "p.jpg").read_bytes()
    assert b"MM\0*\0\0\0\x08" in content
    (tmp_path / "p.jpg").write_bytes(content.replace(b"MM\0*\0\0\0\x08", b"MM\0*\xff\xff\xff\x08"))
    assert read(tmp_path / "p.jpg").shape == (40, 60, 3)


@pytest.mark.parametrize("name", ["p.jpg", "p.tiff"])
def test_cmyk(tmp_path, name):
    corner_picture().convert("CMYK").save(tmp_path / name, quality=95)
    assert near(read(tmp_path / name)[35, 55], GREEN)


def test_grey_and_colour_models_take_either(tmp_path):
    Image.new("L", (4, 4), 99).save(tmp_path / "grey.png")
    Image.new("RGB", (4, 4), RED).save(tmp_path / "red.png")
    assert read(tmp_path / "grey.png")[0, 0].tolist() == [99, 99, 99]
    assert read(tmp_path / "red.png", "L")[0, 0] == round(0.299 * 250)


def test_transparent_parts_are_white_whatever_is_stored_under_them(tmp_path):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    image.save(tmp_path / "p.png")
    image.convert("LA").save(tmp_path / "grey.png")
    Image.new("L", (2, 1), 7).save(tmp_path / "key.png", transparency=7)
    assert read(tmp_path / "p.png").tolist() == [[[255, 255, 255], [127, 127, 127]]]
    assert read(tmp_path / "grey.png", "L").tolist() == [[255, 127]]
    assert read(tmp_path / "key.png", "L").tolist() == [[255, 255]]


@pytest.mark.parametrize("name", ["p.png", "p.tiff"])
def test_16_bits_keep_their_range(tmp_path, name):
    Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16)).save(tmp_path / name)
    assert read(tmp_path / name, "L").tolist() == [[0, 1, 128, 255]]


def test_floats_from_0_to_1_are_a_grey_picture_others_are_refused(tmp_path):
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(tmp_path / "unit.tiff")
    Image.fromarray(np.array([[-3, 0, 9000]], np.float32)).save(tmp_path / "heights.tiff")
    assert read(tmp_path / "unit.tiff", "L").tolist() == [[0, 128, 255]]
    with pytest.raises(ImageError, match="from -3 to 9000"):
        read(tmp_path / "heights.tiff")
    Image.fromarray(np.array([[-0.5, 0, 1]], np.float32)).save(tmp_path / "signed.tiff")
    with pytest.raises(ImageError, match=r"from -0\.5 to 1"):
        read(tmp_path / "signed.tiff")


def test_palette_and_bilevel(tmp_path):
    corner_picture().quantize(4).save(tmp_path / "palette.png")
    Image.new("1", (4, 4), 1).save(tmp_path / "bilevel.png")
    assert near(read(tmp_path / "palette.png")[5, 5], RED)
    assert read(tmp_path / "bilevel.png")[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("name", ["p.gif", "p.webp", "p.png"])
def test_of_an_animation_the_first_frame_counts(tmp_path, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    assert near(read(tmp_path / name)[0, 0], RED)


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.gif", "p.bmp", "p.tiff"])
def test_a_truncated_file_is_called_truncated(tmp_path, name):
    Image.effect_noise((200, 200), 60).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="truncated"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello, world", "not a picture"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a picture|damaged"),
    ],
)
def test_what_is_not_a_picture_is_named(tmp_path, content, says):
    (tmp_path / "p.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=says):
        read(tmp_path / "p.jpg")


def test_a_pipe_can_be_read(tmp_path):
    """What a shell's `<(command)` gives."""
    corner_picture().save(tmp_path / "p.png")
    os.mkfifo(tmp_path / "pipe")
    content = (tmp_path / "p.png").read_bytes()
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    assert near(read(tmp_path / "pipe")[5, 5], RED)
    writer.join()


def test_a_folder_and_nothing_at_all(tmp_path):
    with pytest.raises(ImageError, match="folder"):
        read(tmp_path)
    with pytest.raises(ImageError, match="no such file"):
        read(tmp_path / "p.jpg")


@pytest.mark.parametrize(("name", "mode"), [("p.jpg", "L"), ("p.png", "L"), ("p.png", "P"), ("p.png", "1")])
def test_a_picture_of_20000_pixels_is_read_and_made_smaller_on_the_way(tmp_path, name, mode):
    image = Image.new(mode, (20_000, 4_000))
    image.paste(1 if mode == "P" else 255, (0, 0, 10_000, 4_000))
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / name)
    limit = Image.MAX_IMAGE_PIXELS
    small = read_picture(tmp_path / name, "RGB", (224, 224))
    assert min(small.size) >= 2 * 224
    assert max(small.size) <= 20_000 / 2
    pixels = np.asarray(small.resize((224, 224)))
    assert near(pixels[:, :110], 255)
    assert near(pixels[:, 115:], 0)
    assert limit == Image.MAX_IMAGE_PIXELS, "Pillow's limit belongs to the process"


def test_a_large_picture_is_turned_by_exif_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (12_000, 6_000)).save(tmp_path / "p.jpg", exif=exif)
    width, height = read_picture(tmp_path / "p.jpg", "L", (10, 10)).size
    assert height == pytest.approx(2 * width, abs=2)


def test_a_picture_beyond_all_bounds_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (8, 8)).save(tmp_path / "p.bmp")
    content = bytearray((tmp_path / "p.bmp").read_bytes())
    content[18:26] = (60_000).to_bytes(4, "little") * 2  # width and height in the header
    (tmp_path / "p.bmp").write_bytes(content)
    with pytest.raises(ImageError, match="more than 536,870,912 pixels"):
        read(tmp_path / "p.bmp")
