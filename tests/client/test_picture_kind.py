"""What is no picture, or one that is not read, is called what it is, with what to do."""

import base64
import gzip
import io
import os
import struct
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from tcli_client import ImageError
from tcli_client.picture import read_picture
from tcli_client.picture_kind import RAW_SUFFIXES, unreadable_kind
from tcli_client.tiff_samples import tiff_samples


def media(brand: bytes, *compatible: bytes) -> bytes:
    """The beginning of an ISO media file."""
    return b"\0\0\0\x20ftyp" + brand + b"\0\0\0\0" + b"".join(compatible) + bytes(60)


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("cat.jpg", "x")
    return content.getvalue()


def tiff(samples: np.ndarray, bits: int, kind: int, order: str = "<") -> bytes:
    """An uncompressed TIFF of [height, width, channels] or [height, width], the directory behind the samples.

    Args:
        kind: TIFF's SampleFormat: 1 unsigned, 2 signed, 3 float.
    """
    data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    height, width, *rest = samples.shape
    channels = rest[0] if rest else 1
    lists = struct.pack(f"{order}{channels}H", *[bits] * channels) + struct.pack(
        f"{order}{channels}H", *[kind] * channels
    )
    at_lists = 8 + len(data)
    at_kinds = at_lists + 2 * channels

    def short(tag: int, value: int) -> bytes:
        return struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)

    def long(tag: int, value: int) -> bytes:
        return struct.pack(f"{order}HHII", tag, 4, 1, value)

    def each(tag: int, value: int, place: int) -> bytes:
        return struct.pack(f"{order}HHII", tag, 3, channels, place) if channels > 2 else short(tag, value)

    entries = [
        *(long(256, width), long(257, height), each(258, bits, at_lists), short(259, 1)),
        *(short(262, 2 if channels > 1 else 1), long(273, 8), short(277, channels), long(278, height)),
        *(long(279, len(data)), each(339, kind, at_kinds)),
    ]
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at_lists + len(lists))
    return head + data + lists + directory


@pytest.mark.parametrize(
    ("content", "says", "fix"),
    [
        (media(b"heic"), "HEIC pictures cannot be read", "JPEG or PNG"),
        (media(b"mif1", b"heic"), "HEIC pictures cannot be read", "JPEG or PNG"),
        (media(b"hevx"), "HEIC pictures cannot be read", "JPEG or PNG"),
        (media(b"crx "), "raw files of cameras cannot be read", "develop it"),
        (media(b"isom"), "not a picture: it is a video", "frame"),
        (b"FUJIFILMCCD-RAW 0201", "raw files of cameras cannot be read", "develop it"),
        (b"\xff\x0a" + bytes(40), "JPEG XL pictures cannot be read", "JPEG or PNG"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "not a picture: it is a PDF document", "export the page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture: it is a PostScript document", "JPEG or PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawings cannot be read", "JPEG or PNG"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<svg/>", "SVG drawings cannot be read", "JPEG or PNG"),
        (
            b"\n <!DOCTYPE html><html><head><title> 404 Not Found </title></head></html>",
            "not a picture: it is an HTML page titled '404 Not Found'",
            "the download failed",
        ),
        (b"<html></html>", "not a picture: it is an HTML page", "the download failed"),
        (b'{"message": "Not Found"}', "not a picture: it is a JSON text", "the download failed"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "it is an XML text", "the download failed"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 123\n",
            "not a picture: it is a Git LFS pointer, not the file itself",
            "git lfs pull",
        ),
        (base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(30)), "a picture as Base64 text", "base64 --decode"),
        (b"data:image/png;base64,iVBORw0KGgo=", "a data URI as text", "decode"),
        (b"Access denied\n", "not a picture: it is a text file", ""),
        (gzip.compress(b"x", mtime=0), "not a picture: it is a compressed file", "unpack"),
        (zipped(), "not a picture: it is an archive", "unpack"),
        (bytes(5000), "not a picture: it is a file of zeros", "fetch it again"),
        (bytes(128) + b"DICM" + bytes(40), "DICOM files cannot be read", "JPEG or PNG"),
        (b"\x93NUMPY\x01\0" + bytes(40), "not a picture: it is a numpy array", "Pillow"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "not a picture: it is a sound", ""),
        (b"\x89PNG\r\n", "truncated or damaged: it begins as a PNG", "again"),
        (b"\xff\xd8\xff", "truncated or damaged: it begins as a JPEG", "again"),
        (b"GIF89a", "truncated or damaged: it begins as a GIF", "again"),
        (b"\x01\x02\x03\x04\x05", "not a picture: it is of no known image format", ""),
        (tiff(np.ones((4, 4, 3), np.float32), 32, 3), "a TIFF with 32-bit float samples cannot be read", "8 bits"),
        (tiff(np.ones((4, 4, 3), np.float16), 16, 3, ">"), "a TIFF with 16-bit float samples", "8 bits"),
        (tiff(np.ones((4, 4), np.float64), 64, 3), "a TIFF with 64-bit float samples", "8 bits"),
        (tiff(np.ones((4, 4, 3), np.int32), 32, 2), "a TIFF with 32-bit signed integer samples", "8 bits"),
    ],
)
def test_files_are_called_what_they_are(tmp_path, content, says, fix):
    (tmp_path / "p.jpg").write_bytes(content)
    with pytest.raises(ImageError) as refused:
        read_picture(tmp_path / "p.jpg", "RGB", (4, 4))
    assert says in str(refused.value)
    assert fix in refused.value.fix


def test_a_tiff_of_16_bits_in_colour_is_read(tmp_path):
    samples = np.zeros((4, 4, 3), np.uint16)
    samples[..., 0] = 65535
    (tmp_path / "p.tiff").write_bytes(tiff(samples, 16, 1))
    assert np.asarray(read_picture(tmp_path / "p.tiff", "RGB", (4, 4)))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", sorted(RAW_SUFFIXES))
def test_of_a_raw_file_not_even_the_thumbnail_is_read(tmp_path, suffix):
    """Most are TIFFs, whose first picture is small and not what the camera saw."""
    Image.new("RGB", (160, 120)).save(tmp_path / "p.tiff")
    name = tmp_path / f"photo{suffix.upper()}"
    (tmp_path / "p.tiff").rename(name)
    with pytest.raises(ImageError, match="raw files of cameras cannot be read"):
        read_picture(name, "RGB", (4, 4))


def test_a_jpeg_with_the_name_of_a_raw_file_is_read(tmp_path):
    Image.new("RGB", (16, 12)).save(tmp_path / "p.jpg")
    (tmp_path / "p.jpg").rename(tmp_path / "p.raw")
    assert read_picture(tmp_path / "p.raw", "RGB", (4, 4)).size == (16, 12)


@pytest.mark.parametrize("length", [30, 200, 2000])
def test_a_cut_avif_is_not_taken_for_a_format_that_is_not_read(tmp_path, length):
    Image.effect_noise((200, 200), 60).convert("RGB").save(tmp_path / "whole.avif")
    (tmp_path / "p.avif").write_bytes((tmp_path / "whole.avif").read_bytes()[:length])
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_picture(tmp_path / "p.avif", "RGB", (4, 4))


def test_a_pipe_is_looked_into_too(tmp_path):
    """What a shell's `<(command)` gives can be read once only."""
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"<html><title>404</title>",))
    writer.start()
    with pytest.raises(ImageError, match="an HTML page titled '404'"):
        read_picture(tmp_path / "pipe", "RGB", (4, 4))
    writer.join()


def test_a_name_that_is_too_long_is_not_a_damaged_picture():
    with pytest.raises(ImageError, match=r"cannot be read: .*too long|no such file"):
        read_picture("x" * 5000, "RGB", (4, 4))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_samples_of_a_tiff(order, channels):
    shape = (2, 2) if channels is None else (2, 2, channels)
    content = tiff(np.zeros(shape, np.float32), 32, 3, order)
    assert tiff_samples(content) == "32-bit float"
    for length in range(0, len(content), 7):  # cut anywhere: no exception
        assert tiff_samples(content[:length]) in (None, "32-bit float", "32-bit integer")


def test_a_large_tiff_of_64_bit_offsets():
    entries = [struct.pack("<HHQHHI", 258, 3, 1, 32, 0, 0), struct.pack("<HHQHHI", 339, 3, 1, 3, 0, 0)]
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<Q", len(entries))
    assert tiff_samples(head + b"".join(entries)) == "32-bit float"


@pytest.mark.parametrize("seed", range(40))
def test_no_content_is_too_odd(seed):
    random = np.random.default_rng(seed)
    content = random.integers(0, 256, size=int(random.integers(0, 400)), dtype=np.uint8).tobytes()
    for front in (b"", b"II*\0\x08\0\0\0", b"\0\0\0\x18ftyp", b"RIFF", b"<", b"{", b"%PDF"):
        unreadable_kind(front + content, "")
        tiff_samples(front + content)
