"""`tcli infer` as a user runs it, against real servers over both protocols."""

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest
from PIL import Image

import batching_models
from infer_command import COMMAND, infer
from tcli_client import Scaling
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server
from tcli_server.zoo import add_model, scaffold_efficientnet_lite0
from triton_cli.infer import ScalingName

COFFEE = Path(__file__).parents[2] / "examples" / "images" / "coffee.jpg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A red and a blue picture, to be named as `./red.png` and `./blue.png`."""
    Image.new("RGB", (12, 9), (255, 51, 0)).save(tmp_path / "red.png")
    Image.new("RGB", (12, 9), (0, 51, 255)).save(tmp_path / "blue.png")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """A server of the trained default model."""
    repository = tmp_path_factory.mktemp("trained")
    scaffold_efficientnet_lite0(repository)
    options = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
    with Server(Engine(repository), options) as server:
        yield server


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_sample_photo_is_an_espresso(trained, protocol):
    port = trained.http_port if protocol == "http" else trained.grpc_port
    ran = infer(COFFEE.parent, "-i", protocol, "-u", f"127.0.0.1:{port}", "./coffee.jpg")
    assert (ran.returncode, ran.stderr) == (0, "")
    model, image, *classes = ran.stdout.splitlines()
    assert model == "Model 'efficientnet_lite0', version 1, INCEPTION scaling"
    assert image == "Image './coffee.jpg':"
    assert len(classes) == 3
    assert classes[0].endswith("(967) espresso")
    assert float(classes[0].split()[0]) > 0.8


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_text_is_that_of_tritons_image_client(folder, colour_urls, protocol):
    ran = infer(
        folder, "-m", "colours", "-c", "3", "-s", "NONE", "-u", colour_urls[protocol], "./red.png", "./blue.png"
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == (
        "Image './red.png':\n"
        "    255.000000 (0) red: hot\n"
        "     51.000000 (1) green\n"
        "      0.000000 (2) blue\n"
        "Image './blue.png':\n"
        "    255.000000 (2) blue\n"
        "     51.000000 (1) green\n"
        "      0.000000 (0) red: hot\n"
    )


def test_json_holds_everything_and_stdout_nothing_else(folder, colour_urls):
    (folder / "bad.png").write_bytes(b"")
    ran = infer(
        folder, "--json", "-c", "1", "-b", "4", "--async", "-u", colour_urls["grpc"], "red.png", "bad.png", "b*e.png"
    )
    assert ran.returncode == 1
    assert "'bad.png': the file is empty" in ran.stderr
    assert json.loads(ran.stdout) == {
        "model": "colours",
        "version": "1",
        "placeholder": None,
        "protocol": "grpc",
        "url": colour_urls["grpc"],
        "scaling": "INCEPTION",
        "images": [
            {"file": "red.png", "classes": [{"score": 1.0, "index": 0, "label": "red: hot"}]},
            {"file": "bad.png", "error": "the file is empty"},
            {"file": "blue.png", "classes": [{"score": 1.0, "index": 2, "label": "blue"}]},
        ],
    }


def test_bad_files_are_told_and_the_others_classified(folder, colour_urls):
    (folder / "notes.png").write_text("no picture")
    (folder / "cut.jpg").write_bytes(COFFEE.read_bytes()[:9000])
    ran = infer(folder, "-m", "colours", "-c1", "-u", colour_urls["http"], "gone.png", ".", "nothing*.jpg")
    assert ran.returncode == 1
    assert [line for line in ran.stdout.splitlines() if line.startswith("Image")] == [
        "Image './blue.png':",
        "Image './red.png':",
    ]
    for complaint in (
        "error: 'gone.png': there is no such file",
        "error: './cut.jpg': the picture is truncated",
        "error: './notes.png': not a picture",
        "error: 'nothing*.jpg': no file matches this pattern",
    ):
        assert complaint in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_folder_names_what_it_cannot_read_and_classifies_the_others(folder, colour_urls):
    heic = b"\0\0\0\x18ftypheic" + bytes(50)
    for name, content in {
        "IMG_1.HEIC": heic,
        "page.jpg": b"<html></html>",
        "zero.png": b"",
        "logo.svg": b"<svg/>",
    }.items():
        (folder / name).write_bytes(content)
    ran = infer(folder, "-m", "colours", "-c1", "-b", "3", "-u", colour_urls["http"], ".")
    assert ran.returncode == 1
    assert [line for line in ran.stdout.splitlines() if line.startswith("Image")] == [
        "Image './blue.png':",
        "Image './red.png':",
    ]
    assert "error: './IMG_1.HEIC': HEIC pictures cannot be read\n  fix: export it as JPEG or PNG" in ran.stderr
    assert "error: './page.jpg': not a picture: it is an HTML page\n  fix: the download failed" in ran.stderr
    assert "error: './zero.png': the file is empty" in ran.stderr
    assert "error: './logo.svg': SVG drawings cannot be read" in ran.stderr
    (folder / "red.png").unlink()
    (folder / "blue.png").unlink()
    only = infer(folder, "-m", "colours", "-u", colour_urls["http"], ".")
    assert (only.returncode, only.stdout) == (1, "")
    assert only.stderr.count("error: ") == 4


def test_a_sound_model_does_not_classify_photos(folder, tmp_path_factory):
    """It takes [1, 16, 96], which could be a grey picture if one did not look at its sides."""
    path = tmp_path_factory.mktemp("sound")
    add_model(batching_models.sound_features(path / "alexa.onnx"), path / "models")
    options = ServeOptions(http_address="127.0.0.1", http_port=0, allow_grpc=False, allow_metrics=False)
    with Server(Engine(path / "models"), options) as server:
        ran = infer(folder, "-m", "alexa", "-u", f"127.0.0.1:{server.http_port}", "red.png")
        unnamed = infer(folder, "-u", f"127.0.0.1:{server.http_port}", "red.png")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "model 'alexa' does not look like an image classifier: its input 'x' with dims [1, 16, 96]" in ran.stderr
    assert "write format: FORMAT_NCHW" in ran.stderr
    assert (unnamed.returncode, unnamed.stdout) == (1, "")
    assert "none of the models at" in unnamed.stderr


def test_an_address_is_not_fetched(folder):
    ran = infer(folder, "-u", "127.0.0.1:1", "https://host/cat.jpg")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "error: 'https://host/cat.jpg': addresses are not fetched\n"
        "  fix: download it first: curl -LO https://host/cat.jpg\n"
    )


def test_only_bad_files_need_no_server(folder):
    ran = infer(folder, "-u", "127.0.0.1:1", "nothing*.jpg")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "error: 'nothing*.jpg': no file matches this pattern\n"


def test_a_missing_file_is_told_before_a_server_is_asked(folder):
    ran = infer(folder, "-u", "127.0.0.1:1", "redd.png")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "error: 'redd.png': there is no such file\n  fix: did you mean 'red.png'?\n"


def test_a_picture_from_a_pipe(folder, colour_urls):
    arguments = ["-m", "colours", "-c1", "-u", colour_urls["http"]]
    content = (folder / "red.png").read_bytes()
    ran = subprocess.run(
        [*COMMAND, *arguments, "/dev/stdin"], input=content, cwd=folder, capture_output=True, timeout=120, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout == b"Image '/dev/stdin':\n    1.000000 (0) red: hot\n"
    assert "name /dev/stdin" in infer(folder, *arguments, "-").stderr


def test_a_placeholder_says_so_in_one_line(folder, colour_urls):
    ran = infer(folder, "-m", "a_placeholder", "-u", colour_urls["http"], "red.png")
    assert ran.returncode == 0
    assert ran.stdout.startswith("Image 'red.png':")
    assert ran.stderr == (
        "warning: model 'a_placeholder' is a placeholder (random weights): its classes mean nothing\n"
    )


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_no_server(folder, protocol):
    ran = infer(folder, "-i", protocol, "-u", "127.0.0.1:1", "red.png")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"no server answers at {protocol}://127.0.0.1:1 (Connection refused)" in ran.stderr
    assert "tcli serve" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-m", "colors"], ["'colors' is not at", "did you mean 'colours'?", "served models: a_placeholder, colours,"]),
        (["-m", "colours", "-x", "9"], ["no version 9", "ready: version 1"]),
        (["-m", "colours", "-b", "5"], ["takes at most 4", "raise max_batch_size"]),
        (["-m", "a_placeholder", "-b", "2"], ["takes at most 1", "max_batch_size above 0"]),
        (["-m", "uint8", "-s", "vgg"], ["UINT8", "scaling NONE"]),
        (["-i", "grpc"], ["is for http", "grpc"]),
    ],
)
def test_mistakes_are_explained(folder, colour_urls, arguments, says):
    ran = infer(folder, *arguments, "-u", colour_urls["http"], "red.png")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert all(part in ran.stderr for part in says), ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["-c", "0", "a.png"], ["-s", "RESNET", "a.png"], ["-i", "ftp", "a.png"], ["-x", "1", "red.png"]]
)
def test_usage_errors(folder, arguments):
    ran = infer(folder, *arguments)
    assert ran.returncode == 2
    assert "Usage: " in ran.stderr


def test_help_has_examples_and_every_scaling(folder):
    ran = infer(folder, "--help")
    assert ran.returncode == 0
    assert "Examples:" in ran.stdout
    assert "NONE|INCEPTION|VGG|IMAGENET" in ran.stdout
    assert [*ScalingName] == [*Scaling]


def test_an_interrupt_ends_at_once_and_quietly(folder, colour_urls):
    arguments = ["-m", "colours", "--async", "-u", colour_urls["http"], *["red.png"] * 5000]
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout.readline().startswith(b"Image")
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors == b"interrupted\n"


def test_a_reader_that_has_enough(folder, colour_urls):
    arguments = ["-m", "colours", "-u", colour_urls["http"], *["red.png"] * 5000]
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout.readline().startswith(b"Image")
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 1


def test_progress_is_for_people_who_look(folder, colour_urls):
    """With a terminal as stderr there is a bar, and stdout still holds nothing but the answer."""
    terminal, end = pty.openpty()
    arguments = ["-m", "colours", "-c1", "-u", colour_urls["http"], *["red.png"] * 30, "gone.png"]
    environment = os.environ | {"TERM": "xterm"}
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=end, env=environment
    ) as running:
        os.close(end)
        shown = b""
        try:
            while part := os.read(terminal, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
        answer = running.stdout.read()
    os.close(terminal)
    assert answer == b"Image 'red.png':\n    1.000000 (0) red: hot\n" * 30
    assert b"31/31" in shown
    assert b"error:\x1b[0m 'gone.png': there is no such file" in shown
    assert infer(folder, *arguments).stderr == "error: 'gone.png': there is no such file\n"


def test_names_that_would_command_a_terminal_are_shown_escaped(folder, colour_urls):
    name = "red\x1b[2J.png"
    (folder / "red.png").rename(folder / name)
    ran = infer(folder, "-m", "colours", "-c1", "-u", colour_urls["http"], name)
    assert ran.stdout.startswith("Image 'red\\x1b[2J.png':")
