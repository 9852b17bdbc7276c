"""`tcli repo add`, as a user runs it: what it says, what is served then, and what is left when it is stopped."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import forked_command
import onnx_models
from serve_command import serving

PROCESSOR = {
    "size": {"shortest_edge": 40},
    "crop_size": {"height": 32, "width": 32},
    "do_center_crop": True,
    "resample": 3,
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.3, 0.4],
}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "triton_cli", *map(str, arguments)]


def tcli(*arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return forked_command.run(*arguments, cwd=cwd, environment=environment())


def environment() -> dict[str, str]:
    paths = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def classifier(folder: Path) -> Path:
    """A folder as the hub leaves it: the mean of each channel is the score of a class."""
    (folder / "onnx").mkdir(parents=True)
    node = helper.make_node("ReduceMean", ["pixel_values"], ["logits"], axes=[2, 3], keepdims=0)
    shapes = (("pixel_values", ["batch", "channels", "height", "width"]), ("logits", ["batch", 3]))
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes]
    graph = helper.make_graph([node], "g", infos[:1], infos[1:])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    (folder / "onnx" / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "red", "1": "green", "2": "blue"}}))
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def test_from_a_folder_of_the_hub_to_classes_of_a_picture(tmp_path: Path):
    classifier(tmp_path / "colours")
    pixels = np.random.default_rng(1).integers(0, 60, (50, 90, 3), dtype=np.uint8)
    pixels[:, 30:60, 2] += 190  # blue in the middle, which is what is left of it
    Image.fromarray(pixels).save(tmp_path / "blue.png")
    added = tcli("repo", "add", "colours", cwd=tmp_path)
    assert (added.returncode, added.stderr) == (0, "")
    assert "note: the 3 class names of 'logits' are from config.json" in added.stdout
    assert "note: how a picture becomes the input is from preprocessor_config.json: " in added.stdout
    assert (
        "# How a picture becomes the input, for 'tcli infer' and 'tcli repo add-pictures'.\nparameters" in added.stdout
    )
    assert "dims: [ 3, -1, -1 ]" in added.stdout
    assert tcli("repo", "add-pictures", "colours", cwd=tmp_path).returncode == 0
    checked = tcli("repo", "check", cwd=tmp_path)
    assert (checked.returncode, checked.stdout) == (0, "3 models checked: no problems\n")
    with serving("--model-repository", tmp_path / "model_repository") as server:
        ask = ("infer", "blue.png", "-c", "3", "--json", "-u", server.url("HTTP"))
        by_client, by_server = (
            json.loads(tcli(*ask, *more, cwd=tmp_path).stdout) for more in (("-m", "colours"), ("--bytes",))
        )
        assert httpx.get(f"http://{server.url('HTTP')}/v2/models/colours/ready").status_code == 200
    assert by_client["images"] == by_server["images"]
    assert [item["label"] for item in by_client["images"][0]["classes"]] == ["blue", "green", "red"]
    assert by_client["scaling"] == "(x / 255 - (0.4, 0.5, 0.6)) / (0.2, 0.3, 0.4)"
    small = Image.fromarray(pixels).resize((72, 40), Image.Resampling.BICUBIC).crop((20, 4, 52, 36))
    values = (np.asarray(small, np.float64) / 255 - PROCESSOR["image_mean"]) / PROCESSOR["image_std"]
    scores = [item["score"] for item in by_client["images"][0]["classes"]]
    np.testing.assert_allclose(scores, np.sort(values.mean((0, 1)))[::-1], atol=0.02)


def in_openvino(folder: Path) -> Path:
    import openvino as ov
    import openvino.opset15 as ops

    pixels = ops.parameter(ov.PartialShape([-1, 3, 32, 32]), ov.Type.f32, name="pixels")
    scores = ops.reduce_mean(pixels, np.array([2, 3]), False)
    scores.output(0).set_names({"scores"})
    ov.save_model(ov.Model([scores], [pixels]), folder / "net.xml", compress_to_fp16=False)
    return folder


def in_torch(folder: Path) -> Path:
    import torch

    class Colours(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean((2, 3))

    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(
        torch.export.export(Colours(), (torch.ones(2, 3, 32, 32),), dynamic_shapes=shapes), folder / "net.pt2"
    )
    return folder


def in_tensorflow(folder: Path) -> Path:
    import tensorflow as tf

    takes = [tf.TensorSpec([None, 32, 32, 3], tf.float32, name="pixels")]
    colours = tf.function(lambda pixels: {"scores": tf.reduce_mean(pixels, (1, 2))}, input_signature=takes)
    tf.saved_model.save(tf.Module(), str(folder), signatures=colours)
    return folder


@pytest.mark.parametrize(
    ("framework", "make"), [("openvino", in_openvino), ("torch", in_torch), ("tensorflow", in_tensorflow)]
)
def test_a_classifier_of_any_framework_is_added_checked_served_and_asked(tmp_path: Path, framework: str, make: object):
    pytest.importorskip(framework)
    (tmp_path / "net").mkdir()
    make(tmp_path / "net")
    (tmp_path / "net" / "labels.txt").write_text("red\ngreen\nblue\n")
    (tmp_path / "net" / "preprocessor_config.json").write_text(json.dumps({"size": 32, "do_normalize": False}))
    Image.new("RGB", (40, 50), (10, 200, 30)).save(tmp_path / "green.png")
    added = tcli("repo", "add", "net", cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    assert "how a picture becomes the input is from preprocessor_config.json: scale 1/255" in added.stdout
    assert tcli("repo", "check", cwd=tmp_path).returncode == 0
    assert tcli("repo", "add-pictures", "net", cwd=tmp_path).returncode == 0
    with serving("--model-repository", tmp_path / "model_repository") as server:
        for protocol, port in (("HTTP", "http"), ("gRPC", "grpc")):
            ask = ("infer", "green.png", "-c", "3", "--json", "-u", f"{port}://{server.url(protocol)}")
            for more in (("-m", "net"), ("--bytes",)):
                (image,) = json.loads(tcli(*ask, *more, cwd=tmp_path).stdout)["images"]
                assert [item["label"] for item in image["classes"]] == ["green", "blue", "red"]
                scores = [item["score"] for item in image["classes"]]
                np.testing.assert_allclose(scores, np.array([200, 30, 10]) / 255, rtol=1e-2)


def test_what_is_no_model_is_one_line_without_a_traceback(tmp_path: Path):
    (tmp_path / "weights.safetensors").write_bytes(b'\x10\0\0\0\0\0\0\0{"a":1}')
    (tmp_path / "config.json").write_text("[" * 100_000)
    for name, says in (
        ("weights.safetensors", "is a safetensors file"),
        (".", "is a safetensors file"),
        ("no", "does not exist"),
    ):
        result = tcli("repo", "add", name, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (1, "")
        assert says in result.stderr
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "model_repository").exists()


def large(file: Path, megabytes: int) -> Path:
    """A model whose weights lie beside it."""
    onnx_models.save_with_external_weights(file, "weights")
    model = onnx.load(file, load_external_data=False)
    with (file.parent / "weights").open("r+b") as weights:
        weights.truncate(megabytes << 20)
    onnx.save(model, file)
    return file


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path):
    large(tmp_path / "net.onnx", 8)
    result = subprocess.run(
        command("repo", "add", "net.onnx"),
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20)),
    )  # fmt: skip
    assert result.returncode == 1
    assert "cannot be copied: File too large" in result.stderr
    assert not (tmp_path / "model_repository").exists()


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("force", [False, True])
def test_stopped_half_way_it_leaves_what_was_there(tmp_path: Path, kill: signal.Signals, force: bool):
    """Stopped while the model itself is asked, which waits for ever."""
    source, repository = tmp_path / "net", tmp_path / "model_repository"
    source.mkdir()
    (source / "model.py").write_text(
        "import pathlib, time\nclass TritonPythonModel:\n    def auto_complete_config(config):\n"
        f"        pathlib.Path({str(tmp_path / 'asked')!r}).touch()\n        time.sleep(1000)\n"
    )
    if force:
        (repository / "net" / "1").mkdir(parents=True)
        (repository / "net" / "1" / "model.onnx").write_bytes(onnx_models.add_sub())
    process = subprocess.Popen(
        command("repo", "add", "net", *(["--force"] if force else [])),
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "asked").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(kill)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: nothing half-written was left" in told
    if force:
        assert [str(path.relative_to(repository)) for path in sorted(repository.rglob("*"))] == [
            "net", "net/1", "net/1/model.onnx",
        ]  # fmt: skip
    else:
        assert not repository.exists()


def test_help_names_what_it_takes(tmp_path: Path):
    text = tcli("repo", "add", "--help", cwd=tmp_path).stdout
    assert "--input" in text
