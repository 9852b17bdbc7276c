"""Both models of the zoo, built once."""

from pathlib import Path

import pytest

from tcli_server.zoo.densenet_onnx import build_placeholder
from tcli_server.zoo.efficientnet_lite0 import build_efficientnet_lite0


@pytest.fixture(scope="session")
def efficientnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("efficientnet") / "model.onnx"
    path.write_bytes(build_efficientnet_lite0().SerializeToString())
    return path


@pytest.fixture(scope="session")
def placeholder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("densenet") / "model.onnx"
    path.write_bytes(build_placeholder().SerializeToString())
    return path
