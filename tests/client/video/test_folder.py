"""Folders of frames."""

import pytest
from PIL import Image

from tcli_client import ImageError, VideoError
from tcli_client.video import find_videos, looks_like_video, open_video


def write(folder, *files: str) -> None:
    for file in files:
        Image.new("RGB", (2, 2)).save(folder / file, comment=file)


def test_frames_are_in_natural_order(tmp_path):
    in_order = ["1.jpg", "2.jpg", "010.jpg", "a-1_frame.jpg", "a-1_frame2.jpg", "a-2_frame1.jpg", "f9.jpg", "f0010.jpg"]
    write(tmp_path, *reversed(in_order))
    (tmp_path / "notes.txt").touch()
    found = [frame.read("RGB", (1, 1)) for frame in open_video(str(tmp_path)).frames()]
    assert len(found) == len(in_order)
    assert [picture.info.get("comment", b"").decode() for picture in found] == in_order


def test_times_are_by_the_rate(tmp_path):
    write(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    video = open_video(str(tmp_path), 4)
    assert [(frame.index, frame.time, frame.seconds) for frame in video.frames()] == [
        (0, 0.0, 0.25),
        (1, 0.25, 0.25),
        (2, 0.5, 0.25),
    ]
    assert (video.duration, video.end) == (0.75, 0.75)
    assert [frame.time for frame in open_video(str(tmp_path)).frames()] == [0.0, 0.04, 0.08]


def test_a_broken_frame_is_named_and_fails_alone(tmp_path):
    write(tmp_path, "1.jpg", "3.jpg")
    (tmp_path / "2.jpg").write_bytes(b"")
    first, second, third = open_video(str(tmp_path)).frames()
    assert first.read("L", (1, 1)).mode == third.read("L", (1, 1)).mode == "L"
    with pytest.raises(ImageError, match=r"2\.jpg: the file is empty"):
        second.read("RGB", (1, 1))


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(VideoError, match="no picture in this folder"):
        list(open_video(str(tmp_path)).frames())


def test_which_arguments_are_videos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shots").mkdir()
    write(tmp_path / "shots", "1.jpg")
    for file, content in (
        ("a.mp4", b""),
        ("b.MKV", b"x"),
        ("phone", b"\0\0\0\x18ftypisom" + bytes(20)),
        ("web", b"\x1a\x45\xdf\xa3"),
        ("photo", b"\xff\xd8\xff"),
        ("photo.jpg", b"\0\0\0\x18ftypisom" + bytes(20)),
        ("a.heic", b"\0\0\0\x18ftypheic" + bytes(20)),
        ("notes.txt", b"hello"),
    ):
        (tmp_path / file).write_bytes(content)
    assert [file.name for file in sorted(tmp_path.iterdir()) if looks_like_video(file.name)] == [
        "a.mp4",
        "b.MKV",
        "phone",
        "web",
    ]
    assert find_videos("./shots") == ["./shots"]
    assert find_videos("s*") == ["shots"]
    assert find_videos("?.m*") == ["a.mp4"]
    for argument in ("gone.mp4", "x*.mp4", "https://host/clip.mp4"):
        with pytest.raises(ImageError):
            find_videos(argument)
