"""What is read of video files: colours, times and turns as people see them, whatever the file; and what is said of bad ones."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

import video_clips as clips
from tcli_client import VideoError
from tcli_client.video import Video, open_video
from video_clips import BLUE, GREEN, RED, seconds_of, write_clip

COLOURS = ((RED, 1.0), (GREEN, 0.5), (BLUE, 1.0))


def read(path) -> tuple[list[float], list[Image.Image], Video]:
    """Times and pictures of all frames."""
    video = open_video(str(path))
    times, pictures = [], []
    for frame in video.frames():
        times.append(frame.time)
        pictures.append(frame.read("RGB", (6, 8)))
    return times, pictures, video


def changes(path) -> list[tuple[float, tuple[int, int, int]]]:
    """When which colour comes, each as the nearest of black, white and the primaries."""
    found: list = []
    times, pictures, _ = read(path)
    for time, picture in zip(times, pictures, strict=True):
        middle = picture.getpixel((picture.width // 2, picture.height // 2))
        colour = tuple(255 * (value > 127) for value in middle)
        if not found or found[-1][1] != colour:
            found.append((time, colour))
    return found


def refusal(path) -> VideoError:
    with pytest.raises(VideoError) as refused:
        read(path)
    return refused.value


def png(colour=RED, size=clips.SIZE) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "PNG", compress_level=1)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.mp4", "libx264", "yuv444p"),
        ("a.mov", "qtrle", "rgb24"),
        ("a.mkv", "ffv1", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.ts", "mpeg2video", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.flv", "flv1", "yuv420p"),
        ("a.gif", "gif", "rgb8"),
        ("ten_bits.mkv", "libx265", "yuv420p10le"),
        ("twelve_bits.mov", "prores_ks", "yuv422p10le"),
        ("planar.mkv", "ffv1", "gbrp12le"),
        ("wide.mkv", "ffv1", "bgr0"),
    ],
)
def test_formats(tmp_path, name, codec, pixel_format):
    rate = 25  # MPEG-2 knows none of ten
    path = write_clip(
        tmp_path / name, seconds_of((RED, 1), (GREEN, 0.4), (BLUE, 1), rate=rate), codec, pixel_format, rate
    )
    assert changes(path) == [(0.0, RED), (1.0, GREEN), (1.4, BLUE)]
    times, _, video = read(path)
    assert times == pytest.approx([index / rate for index in range(60)], abs=0.002)
    assert video.end == pytest.approx(2.4, abs=0.05)


def test_grey_of_sixteen_bits(tmp_path):
    path = write_clip(tmp_path / "grey.mkv", [clips.plain((200, 200, 200))] * 3, "ffv1", "gray16le")
    assert read(path)[1][0].getpixel((0, 0)) == pytest.approx((200, 200, 200), abs=1)


def test_colours_are_those_of_the_file_s_own_matrix(tmp_path):
    """High definition has another one than what FFmpeg takes where nothing is said."""
    av = clips.av
    with av.open(str(tmp_path / "hd.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = clips.SIZE
        stream.codec_context.colorspace = 1
        frame = av.VideoFrame.from_ndarray(clips.plain((200, 60, 20)), format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=1)))
        container.mux(stream.encode(None))
    assert np.abs(np.array(read(tmp_path / "hd.mp4")[1][0].getpixel((9, 9))) - (200, 60, 20)).max() <= 3


def test_frames_are_the_pictures_that_they_were(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path = write_clip(tmp_path / "exact.mov", [pixels], "png", "rgb24")
    assert np.array_equal(np.asarray(read(path)[1][0]), pixels)


def test_transparent_parts_are_white(tmp_path):
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[:24] = (255, 0, 0, 255)
    _, (picture,), _ = read(write_clip(tmp_path / "alpha.mov", [pixels], "qtrle", "argb"))
    assert picture.mode == "RGB"
    assert [picture.getpixel((5, row)) for row in (5, 40)] == [RED, (255, 255, 255)]


ONE = 1 << 16
TURNS = {
    "upright": ((ONE, 0, 0, ONE), (64, 48), (RED, RED, BLUE, BLUE)),
    "clockwise": ((0, ONE, -ONE, 0), (48, 64), (BLUE, RED, BLUE, RED)),
    "over": ((-ONE, 0, 0, -ONE), (64, 48), (BLUE, BLUE, RED, RED)),
    "anticlockwise": ((0, -ONE, ONE, 0), (48, 64), (RED, BLUE, RED, BLUE)),
    "upside down in a mirror": ((ONE, 0, 0, -ONE), (64, 48), (BLUE, BLUE, RED, RED)),
    "transposed": ((0, ONE, ONE, 0), (48, 64), (RED, BLUE, RED, BLUE)),
}


@pytest.mark.skipif(not hasattr(clips.av.VideoStream, "set_display_matrix"), reason="this PyAV cannot write a turn")
@pytest.mark.parametrize("name", TURNS)
def test_turned_as_the_file_says(tmp_path, name):
    (a, b, c, d), size, corners = TURNS[name]
    path = write_clip(tmp_path / "turned.mp4", [clips.halves(RED, BLUE)] * 2, matrix=[a, b, 0, c, d, 0, 0, 0, 1 << 30])
    picture = read(path)[1][0]
    assert picture.size == size
    places = [(x, y) for y in (4, size[1] - 5) for x in (4, size[0] - 5)]
    assert [tuple(255 * (value > 127) for value in picture.getpixel(place)) for place in places] == list(corners)


def test_mirrored_left_to_right(tmp_path):
    if not hasattr(clips.av.VideoStream, "set_display_matrix"):
        pytest.skip("this PyAV cannot write a turn")
    pixels = clips.plain(RED)
    pixels[:, 32:] = BLUE
    path = write_clip(tmp_path / "m.mp4", [pixels] * 2, matrix=[-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30])
    assert read(path)[1][0].getpixel((5, 20))[2] > 200


def test_times_of_a_variable_rate(tmp_path):
    times = [0, 0.5, 3.25, 3.3]
    path = write_clip(tmp_path / "vfr.mp4", [clips.plain(c) for c in (RED, GREEN, BLUE, RED)], times=times)
    assert read(path)[0] == times


def test_times_count_from_the_first_frame(tmp_path):
    path = write_clip(tmp_path / "late.mkv", [clips.plain(RED)] * 3, "libx264", times=[5, 5.5, 8.25])
    assert read(path)[0] == [0.0, 0.5, 3.25]


def test_two_recordings_in_one_file_go_on(tmp_path):
    """As `cat a.ts b.ts` makes it: the times begin anew in the middle."""
    for name, colour in (("a.ts", RED), ("b.ts", BLUE)):
        write_clip(tmp_path / name, seconds_of((colour, 2), rate=25), "mpeg2video", rate=25)
    (tmp_path / "both.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    times, _, _ = read(tmp_path / "both.ts")
    assert len(times) == 100
    assert times == sorted(times)
    assert times[-1] > 3.9


def test_a_stream_that_begins_in_the_middle(tmp_path):
    """Recordings of broadcasts have such; what is read goes on."""
    write_clip(tmp_path / "a.ts", seconds_of((RED, 2), rate=25), "mpeg2video", rate=25)
    clips.write_sound(tmp_path / "sound.ts", options={"mpegts_start_pid": "600"})
    parts = [(tmp_path / name).read_bytes() for name in ("a.ts", "sound.ts", "a.ts")]
    padding = (b"\x47\x1f\xff\x10" + bytes(184)) * 40_000  # more than is looked through for streams at first
    (tmp_path / "both.ts").write_bytes(padding.join(parts))
    video = open_video(str(tmp_path / "both.ts"))
    assert len(list(video.frames())) == 100


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.gif"])
def test_damage_of_every_kind_is_told_as_such(tmp_path, name):
    """Bytes changed at random, by a seed: frames, or an error for people, and nothing else."""
    codecs = {"a.ts": "mpeg2video", "a.avi": "mjpeg", "a.gif": "gif"}
    formats = {"a.avi": "yuvj420p", "a.gif": "rgb8"}
    path = write_clip(
        tmp_path / name,
        seconds_of((RED, 0.4), (BLUE, 0.4), rate=25),
        codecs.get(name, "mpeg4"),
        formats.get(name, "yuv420p"),
        25,
    )
    content, random = path.read_bytes(), np.random.default_rng(len(name))
    for _ in range(60):
        damaged = np.frombuffer(content, np.uint8).copy()
        places = random.integers(0, len(damaged), random.integers(1, 30))
        damaged[places] = random.integers(0, 256, len(places))
        path.write_bytes(damaged[: random.integers(1, 2 * len(damaged))].tobytes())
        video = open_video(str(path))
        try:
            for frame in video.frames():
                frame.read("RGB", (6, 8))
        except VideoError:
            continue


def test_the_cover_of_a_sound_is_no_video(tmp_path):
    assert str(refusal(clips.write_sound(tmp_path / "song.mp4"))) == "there is no video in it, only audio"
    assert "only audio" in str(refusal(clips.write_sound(tmp_path / "covered.mp4", png())))


def test_a_frame_of_another_size_in_the_middle(tmp_path):
    path = clips.write_packets(tmp_path / "sizes.mov", [png(), png(BLUE, (30, 90)), png()])
    assert [picture.size for picture in read(path)[1]] == [(64, 48), (30, 90), (64, 48)]


def test_frames_that_are_too_large_are_not_decoded(tmp_path):
    """A header of 9000 x 9000 needs no more memory to be refused than one of 64 x 48 that the frame belies."""
    path = write_clip(tmp_path / "a.mov", [clips.plain(RED)], "qtrle", "rgb24")
    content = bytearray(path.read_bytes())
    place = content.index(b"rle ") + 28
    assert content[place : place + 4] == struct.pack(">HH", *clips.SIZE)
    content[place : place + 4] = struct.pack(">HH", 9000, 9000)
    path.write_bytes(content)
    assert "9000 x 9000 have more than 67,108,864 pixels" in str(refusal(path))
    liar = clips.write_packets(tmp_path / "liar.mov", [png(), png(size=(8200, 8200)), png(BLUE)])
    video = open_video(str(liar))
    frames = []
    with pytest.raises(VideoError, match="a frame of more than 67,108,864 pixels"):
        frames.extend(frame.index for frame in video.frames())
    assert frames[:1] == [0]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.mp4", "mpeg4"), ("a.avi", "mjpeg")]
)
@pytest.mark.parametrize("part", [0.5, 0.83])
def test_what_a_cut_file_still_has_and_that_it_is_cut(tmp_path, name, codec, part):
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    noise = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), dtype=np.uint8)
    path = write_clip(
        tmp_path / name, list(noise), codec, pixel_format, options={"movflags": "faststart"} if "mp4" in name else {}
    )
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * part)])
    video = open_video(str(path))
    times = []
    with pytest.raises(VideoError, match="the video is truncated"):
        times.extend(frame.time for frame in video.frames())
    assert 60 * (part - 0.3) < len(times) < 60 * (part + 0.1)


def test_every_cut_of_a_recording_without_its_index_is_told(tmp_path):
    content = write_clip(tmp_path / "a.mp4", seconds_of(*COLOURS)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: content.index(b"moov")])
    problem = refusal(tmp_path / "cut.mp4")
    assert "its index, which is at the end of the file, is missing" in str(problem)
    assert "fetch the file again" in problem.fix


def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path):
    packets = [png()] * 5 + [b"\x89PNG\r\n\x1a\nnothing of the kind"] + [png(BLUE)] * 5
    path = clips.write_packets(tmp_path / "damaged.mov", packets)
    video = open_video(str(path))
    times = []
    with pytest.raises(VideoError, match="truncated or damaged"):
        times.extend(frame.time for frame in video.frames())
    assert len(times) == 10
    assert times[-1] == 1.0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><title>404</title>", "not a video: it is an HTML page titled '404'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "a Git LFS pointer"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n", "not a video"),
        (bytes(5000), "a file of zeros"),
        (b"\x1a\x45\xdf\xa3" + b"\x93" * 400, "truncated or damaged"),
        (np.random.default_rng(1).bytes(5000), "not a video"),
    ],
)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8"])
def test_what_is_no_video(tmp_path, content, says, name):
    (tmp_path / name).write_bytes(content)
    assert says in str(refusal(tmp_path / name))


def test_a_playlist_fetches_no_other_file(tmp_path):
    write_clip(tmp_path / "other.ts", seconds_of((RED, 1), rate=25), "mpeg2video", rate=25)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    assert "not a video" in str(refusal(tmp_path / "list.m3u8"))


def test_files_that_cannot_be_opened(tmp_path):
    assert str(refusal(tmp_path / "gone.mp4")) == "there is no such file"
    (tmp_path / "photo.png").write_bytes(png())
    assert "it is a picture" in str(refusal(tmp_path / "photo.png"))


@pytest.mark.parametrize("name", ["empty.avi", "empty.mp4"])
def test_a_file_without_frames(tmp_path, name):
    path = write_clip(tmp_path / "one.mp4", [clips.plain(RED)])
    with clips.av.open(str(path)) as source, clips.av.open(str(tmp_path / name), "w") as target:
        target.add_stream_from_template(source.streams.video[0])
        target.start_encoding()
    assert str(refusal(tmp_path / name)) == "the video has no frames"


@pytest.mark.parametrize("name", ["http:--host-clip.mp4", "concat:a|b.mp4", "-i.mp4", "spa ce%03d.mp4", "é\udc80.mp4"])
def test_names_are_names(tmp_path, name):
    plain_name = write_clip(tmp_path / "plain.mp4", seconds_of((RED, 0.5)))
    (tmp_path / name).write_bytes(plain_name.read_bytes())
    assert len(read(tmp_path / name)[0]) == 5
