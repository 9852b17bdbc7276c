"""Model folders as nobody meant them: each function spoils a repository, most of them with a model `bad`."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import onnx_models
from repositories import write_model


def unreadable_folder(models: Path) -> None:
    (models / "bad").mkdir(mode=0)


def fifo(models: Path) -> None:
    (models / "bad" / "1").mkdir(parents=True)
    os.mkfifo(models / "bad" / "1" / "model.onnx")


def unix_socket(models: Path) -> None:
    (models / "bad" / "1").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as one:
        before = Path.cwd()
        os.chdir(models / "bad" / "1")  # addresses are short
        one.bind("model.onnx")
        os.chdir(before)


def device(models: Path) -> None:
    (models / "bad" / "1").mkdir(parents=True)
    (models / "bad" / "1" / "model.onnx").symlink_to("/dev/zero")


def loop_as_model(models: Path) -> None:
    (models / "bad" / "1").mkdir(parents=True)
    (models / "bad" / "1" / "model.onnx").symlink_to("model.onnx")


def loop_as_version(models: Path) -> None:
    (models / "bad").mkdir()
    (models / "bad" / "1").symlink_to("1")


def config_with(text: str) -> Callable[[Path], None]:
    return lambda models: write_model(models, "bad", onnx_models.identity(), f'backend: "onnxruntime" {text}') and None


def edited_model(old: bytes, new: bytes) -> Callable[[Path], None]:
    return lambda models: write_model(models, "bad", onnx_models.identity().replace(old, new)) and None


BROKEN = {
    "unreadable": unreadable_folder,
    "fifo": fifo,
    "socket": unix_socket,
    "device": device,
    "loop as model": loop_as_model,
    "loop as version": loop_as_version,
    "kind": config_with("instance_group { kind: \u00b2 }"),
    "count": config_with("instance_group { count: " + "9" * 5000 + " }"),
    "version": lambda models: (models / "bad" / ("9" * 250)).mkdir(parents=True),
    "digit": lambda models: (models / "bad" / "\u00b2").mkdir(parents=True),
    "file name": config_with(f'default_model_filename: "{"x" * 300}"'),
    "label file name": config_with(f'output {{ name: "OUTPUT0" label_filename: "{"x" * 300}" }}'),
    "data type": edited_model(b"\x08\x01\x12", b"\x08\x63\x12"),
    "broken text": edited_model(b"INPUT0", b"\xff\xfePUT0"),
    "no model": lambda models: write_model(models, "bad", b"no model") and None,
    "control characters": lambda models: write_model(models, "a\nb\x1b[2J", b"no model") and None,
    "undecodable name": lambda models: (models / os.fsdecode(b"\xff\xfe") / "1").mkdir(parents=True),
}
