"""`tcli infer` of videos, as a user runs it against real servers."""

import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from colour_models import write_colour_models
from serve_command import serving
from video_clips import BLUE, GREEN, RED, seconds_of, write_clip, write_sound

COMMAND = [sys.executable, "-m", "triton_cli", "infer"]
TEXT = """\
Video 'clip.mp4':
    0:00:00.000  0.984314 (0) red: hot
    0:00:01.000  0.992157 (1) green
    0:00:01.500  0.992157 (2) blue
    0:00:03.500  0.984314 (0) red: hot
"""


def infer(folder: Path, *arguments: str, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False, **more
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clip.mp4`: red, green from 1 s, blue from 1.5 s, red from 3.5 s to 4 s; `long.mp4`; `shots/`; what is no clip."""
    path = tmp_path_factory.mktemp("videos")
    colours = [(RED, 1.0), (GREEN, 0.5), (BLUE, 2.0), (RED, 0.5)]
    write_clip(path / "clip.mp4", seconds_of(*colours))
    write_clip(path / "long.mp4", seconds_of((RED, 300), (BLUE, 300)))
    write_sound(path / "song.mp4")
    (path / "shots").mkdir()
    for index, colour in enumerate([RED] * 9 + [BLUE] * 3, start=1):
        Image.new("RGB", (9, 9), colour).save(path / "shots" / f"frame_{index}.png")
    Image.new("RGB", (9, 9), GREEN).save(path / "green.png")
    return path


def test_a_line_for_each_change_and_a_summary(folder, colour_urls):
    ran = infer(folder, "-m", "colours", "-u", colour_urls["grpc"], "clip.mp4")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(TEXT)
    frames, *shares = ran.stdout.removeprefix(TEXT).splitlines()
    assert frames.startswith("    40 frames up to 0:00:04.000 in ")
    assert frames.endswith(" frames/s")
    assert shares == ["     50.0% (2) blue", "     37.5% (0) red: hot", "     12.5% (1) green"]


def test_the_address_without_a_protocol_is_grpcs_and_the_model_is_named(folder, colour_urls):
    ran = infer(folder, "-u", colour_urls["grpc"].removeprefix("grpc://"), "clip.mp4", "-b", "3")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("Model 'colours', version 1, INCEPTION scaling\n" + TEXT)


def test_json_is_a_line_for_each_frame(folder, colour_urls):
    ran = infer(folder, "--json", "-c1", "-u", colour_urls["grpc"], "clip.mp4")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [(line["file"], line["frame"], line["time"]) for line in lines] == [
        ("clip.mp4", index, index / 10) for index in range(40)
    ]
    assert lines[14]["classes"] == [{"score": pytest.approx(0.992157), "index": 1, "label": "green"}]
    assert [line["classes"][0]["index"] for line in lines] == [0] * 10 + [1] * 5 + [2] * 20 + [0] * 5


@pytest.mark.parametrize(
    ("options", "frames"), [(["--every", "15"], [0, 15, 30]), (["--fps", "0.5"], [0, 20]), (["--fps", "99"], range(40))]
)
def test_some_of_the_frames(folder, colour_urls, options, frames):
    ran = infer(folder, "--json", *options, "-u", colour_urls["grpc"], "clip.mp4")
    assert [json.loads(line)["frame"] for line in ran.stdout.splitlines()] == list(frames)


def test_the_last_frame_that_is_taken_counts_to_the_end(folder, colour_urls):
    ran = infer(folder, "-m", "colours", "--every", "15", "-u", colour_urls["grpc"], "clip.mp4")
    assert ran.stdout.splitlines()[-2:] == ["     62.5% (2) blue", "     37.5% (0) red: hot"]


@pytest.mark.parametrize("options", [["--frames"], ["--every", "1"], ["--fps", "25"], ["--frame-rate", "25"]])
def test_a_folder_is_a_video_where_options_say_so(folder, colour_urls, options):
    ran = infer(folder, "-m", "colours", *options, "-u", colour_urls["grpc"], "./shots")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (
        "Video './shots':\n    0:00:00.000  1.000000 (0) red: hot\n    0:00:00.360  1.000000 (2) blue\n" in ran.stdout
    )
    assert "12 frames up to 0:00:00.480 in " in ran.stdout


def test_a_folder_is_pictures_where_nothing_says_otherwise(folder, colour_urls):
    ran = infer(folder, "-m", "colours", "-c1", "-u", colour_urls["http"], "./shots")
    assert ran.stdout.count("Image './shots/frame_") == 12
    rate = infer(folder, "-m", "colours", "--frame-rate", "2", "-u", colour_urls["grpc"], "shots")
    assert "\n    0:00:04.500  1.000000 (2) blue\n" in rate.stdout


def test_a_broken_frame_of_a_folder_fails_alone(folder, colour_urls, tmp_path):
    for index in (1, 2, 3):
        (tmp_path / f"{index}.png").write_bytes((folder / "green.png").read_bytes() if index != 2 else b"")
    ran = infer(tmp_path, "--frames", "--json", "-c1", "-u", colour_urls["grpc"], ".")
    assert ran.returncode == 1
    assert ran.stderr == "error: '.', frame 1 (0:00:00.040): 2.png: the file is empty\n"
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines[1] == {"file": ".", "frame": 1, "time": 0.04, "error": "2.png: the file is empty"}
    assert [line["classes"][0]["index"] for line in lines if "classes" in line] == [1, 1]


def test_bad_videos_do_not_stop_the_others(folder, colour_urls, tmp_path):
    clip = write_clip(tmp_path / "cut.mkv", seconds_of((RED, 1), (GREEN, 1), (BLUE, 1)))
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    (tmp_path / "page.mp4").write_text("<html></html>")
    (tmp_path / "good.mp4").write_bytes((folder / "clip.mp4").read_bytes())
    (tmp_path / "song.mp4").write_bytes((folder / "song.mp4").read_bytes())
    arguments = ["-m", "colours", "-u", colour_urls["grpc"]]
    ran = infer(tmp_path, *arguments, "gone.mp4", "song.mp4", "page.mp4", "cut.mkv", "good.mp4")
    assert ran.returncode == 1
    for complaint in (
        "error: 'gone.mp4': there is no such file",
        "error: 'song.mp4': there is no video in it, only audio",
        "error: 'page.mp4': not a video: it is an HTML page",
        "error: 'cut.mkv': the video is truncated: the file ends before the video does",
    ):
        assert complaint in ran.stderr
    assert "Video 'cut.mkv':\n    0:00:00.000  0.984314 (0) red: hot\n" in ran.stdout
    assert "Video 'good.mp4':\n" + TEXT.partition("\n")[2] in ran.stdout
    assert "Traceback" not in ran.stderr
    lines = infer(tmp_path, *arguments, "--json", "song.mp4", "page.mp4").stdout.splitlines()
    assert json.loads(lines[0]) == {"file": "song.mp4", "error": "there is no video in it, only audio"}


def test_videos_among_pictures_are_told_apart(folder, colour_urls):
    ran = infer(folder, "-m", "colours", "-c1", "-u", colour_urls["http"], "green.png", "clip.mp4")
    assert (ran.returncode, ran.stdout) == (1, "Image 'green.png':\n    1.000000 (1) green\n")
    assert "error: 'clip.mp4': not a picture: it is a video" in ran.stderr
    assert "`tcli infer` for videos alone" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-i", "http", "clip.mp4"], "gRPC stream"),
        (["-u", "http://localhost", "clip.mp4"], "grpc:// address"),
        (["--bytes", "clip.mp4"], "no files that could be sent"),
        (["-x", "1", "clip.mp4"], "name it with --model"),
        (["--every", "0", "clip.mp4"], "--every"),
        (["--fps", "0", "clip.mp4"], "is not from 0.0001 to 10000"),
        (["--fps", "nan", "clip.mp4"], "is not from 0.0001 to 10000"),
        (["--frame-rate", "-1", "shots"], "is not from 0.0001 to 10000"),
        (["--frames", "green.png", "shots"], "name the folder"),
    ],
)
def test_usage_errors(folder, arguments, says):
    ran = infer(folder, *arguments)
    assert ran.returncode == 2, ran.stderr
    assert says in ran.stderr


def test_the_http_port_is_told_from_the_grpc_port(folder, colour_urls):
    ran = infer(folder, "-u", colour_urls["http"].removeprefix("http://"), "clip.mp4")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "but not in gRPC\n  fix: frames go over gRPC: name the server's gRPC port" in ran.stderr


def test_no_server(folder):
    ran = infer(folder, "-u", "127.0.0.1:1", "clip.mp4")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "no server answers at grpc://127.0.0.1:1" in ran.stderr


def test_a_video_from_a_pipe(colour_urls, tmp_path):
    content = write_clip(tmp_path / "a.mkv", seconds_of((RED, 1), (BLUE, 1))).read_bytes()
    ran = subprocess.run(
        [*COMMAND, "--frames", "-m", "colours", "-u", colour_urls["grpc"], "/dev/stdin"],
        input=content,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"    0:00:01.000  0.992157 (2) blue\n    20 frames up to 0:00:02.000 in " in ran.stdout


def started(folder: Path, *arguments: str, **more) -> subprocess.Popen[bytes]:
    """A run that is not over: what it prints of 6000 frames is more than a pipe holds, and nobody reads it yet."""
    command = [*COMMAND, "-m", "colours", "--json", *arguments, "long.mp4"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def test_an_interrupt_tells_what_was_done(folder, colour_urls):
    with started(folder, "-u", colour_urls["grpc"]) as running:
        assert running.stdout.readline().startswith(b'{"file": "long.mp4"')
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    told, interrupted = errors.decode().splitlines()
    assert interrupted == "interrupted"
    assert told.startswith("'long.mp4': ")
    assert abs(int(told.split()[1]) - output.count(b"\n") - 1) <= 1  # the interrupt may come within a line


def test_an_interrupt_ends_with_the_summary(folder, colour_urls):
    """On a FIFO that nothing more comes from, so that it cannot have ended before."""
    os.mkfifo(folder / "live.mkv")
    content = (folder / "long.mp4").parent / "head.mkv"
    write_clip(content, seconds_of((RED, 2), (BLUE, 20)))
    command = [*COMMAND, "--frames", "-m", "colours", "-u", colour_urls["grpc"], "live.mkv"]
    with (
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running,
        (folder / "live.mkv").open("wb") as live,
    ):
        live.write(content.read_bytes()[:-100])
        live.flush()
        shown = list(islice(running.stdout, 3))
        assert shown[2].decode().endswith("(2) blue\n")
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (130, b"interrupted\n")
    assert b" frames up to 0:00:" in output
    assert b"% (2) blue\n" in output


def test_a_reader_that_has_enough(folder, colour_urls):
    with started(folder, "-u", colour_urls["grpc"]) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 1


def test_a_server_that_vanishes(folder, tmp_path):
    with (
        serving("--model-repository", write_colour_models(tmp_path / "models")) as server,
        started(folder, "-u", server.url("gRPC")) as running,
    ):
        assert b'"classes"' in running.stdout.readline()
        server.end(signal.SIGKILL)
        output, errors = running.communicate(timeout=60)
    assert running.returncode == 1
    assert output.count(b'"classes"') < 5999, errors
    assert b"'long.mp4': " in errors
    assert b"error: " in errors
    assert b"Traceback" not in errors


@pytest.mark.parametrize("columns", [20, 200])
def test_lines_fit_the_terminal_and_progress_is_for_people_who_look(folder, colour_urls, columns):
    terminal, end = pty.openpty()
    ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    command = [*COMMAND, "-m", "colours", "-u", colour_urls["grpc"], "clip.mp4"]
    with subprocess.Popen(command, cwd=folder, stdout=end, stderr=end, env=environment) as running:
        os.close(end)
        shown = b""
        try:
            while part := os.read(terminal, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
        assert running.wait(60) == 0
    os.close(terminal)
    whole = b"    0:00:01.500  0.992157 (2) blue\r\n"
    assert (whole in shown) == (columns == 200)
    assert ("    0:00:01.500  0.…\r\n".encode() in shown) == (columns == 20)
    assert b"frame 39" in shown or columns == 20


def test_help_tells_of_videos(folder):
    assert "tcli infer clip.mp4 --fps 5" in infer(folder, "--help").stdout
