"""A server in explicit mode whose models the tests may load and unload, and one of the scaffolded models."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import onnx_models
from conftest import LOOPBACK
from repositories import add_sub_config, write_model
from tcli_server import Engine, EngineOptions
from tcli_server.serving import Server
from tcli_server.zoo import scaffold_densenet_onnx, scaffold_efficientnet_lite0
from tcli_server.zoo.download import RemoteFile


@pytest.fixture
def controlled(tmp_path: Path) -> Iterator[Server]:
    """A running server in explicit mode with `add_sub` on disk, not loaded."""
    folder = write_model(tmp_path, "add_sub", onnx_models.add_sub(), add_sub_config())
    (folder / "labels.txt").write_text("first\nsecond\n")
    engine = Engine(tmp_path, options=EngineOptions(model_control_mode="explicit"))
    with Server(engine, LOOPBACK) as server:
        yield server


@pytest.fixture(scope="module")
def scaffolded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server of both models of `tcli repo init`, DenseNet with placeholder weights."""
    repository = tmp_path_factory.mktemp("scaffolded")
    scaffold_efficientnet_lite0(repository)
    nowhere = RemoteFile("densenet-7.onnx", 1, "0" * 64, ())
    scaffold_densenet_onnx(repository, published=nowhere)
    with Server(Engine(repository), LOOPBACK) as server:
        yield server
