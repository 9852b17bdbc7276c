"""Backends that other packages bring: found by their entry points, and served as those that are built in."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from serve_command import serving
from tcli_server.backends import registry

EXAMPLE = Path(__file__).parents[3] / "examples" / "backends" / "linear"
MATRIX = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the example is installed."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-build-isolation", "--target"]
    subprocess.run([*command, str(folder), str(EXAMPLE)], check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture
def on_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(installed))
    for function in (registry.kinds, registry.is_installed):
        function.cache_clear()
    yield
    for function in (registry.kinds, registry.is_installed):
        function.cache_clear()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    version = tmp_path / "times" / "1"
    version.mkdir(parents=True)
    np.save(version / "model.npy", MATRIX)
    return tmp_path


def test_the_example_is_installed_and_served(installed: Path, repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(installed), prepend=":")
    with serving("--model-repository", str(repository)) as server:
        base = f"http://{server.url('HTTP')}/v2/models/times"
        config = httpx.get(f"{base}/config").json()
        assert (config["backend"], config["max_batch_size"]) == ("linear", 4)
        x = [[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]
        inputs = [{"name": "x", "datatype": "FP32", "shape": [2, 3], "data": x}]
        answer = httpx.post(f"{base}/infer", json={"inputs": inputs}).json()
        assert answer["outputs"][0]["data"] == (np.array(x, np.float32) @ MATRIX).ravel().tolist()


@pytest.mark.usefixtures("on_path")
def test_it_is_checked_as_any_other(repository: Path):
    from tcli_server.models.check import check_repository

    assert check_repository(repository) == []
    np.save(repository / "times" / "1" / "model.npy", MATRIX.astype(np.float64))
    (problem,) = check_repository(repository)
    assert (problem.expected, problem.fix) == ("a float32 matrix", "save matrix.astype(numpy.float32)")
    (repository / "times" / "config.pbtxt").write_text('parameters { key: "scale" value { string_value: "2" } }')
    (problem,) = [one for one in check_repository(repository) if one.field == 'parameters["scale"]']
    assert problem.expected == "a parameter of the backend 'linear', which has none"


@pytest.mark.usefixtures("on_path")
def test_its_models_are_added_as_any_others(tmp_path: Path):
    from tcli_server.models.check import check_repository
    from tcli_server.zoo import add_model

    (tmp_path / "times").mkdir()
    np.save(tmp_path / "times" / "weights.npy", MATRIX)
    (tmp_path / "times" / "config.json").write_text('{"id2label": {"0": "left", "1": "right"}}')
    for source in (tmp_path / "times", tmp_path / "times" / "weights.npy"):
        added = add_model(source, tmp_path / "models", max_batch_size=4)
        assert (added.config.backend, list(added.config.input[0].dims)) == ("linear", [3])
        assert (added.path / "labels.txt").read_text() == "left\nright\n"
    assert check_repository(tmp_path / "models") == []


@pytest.mark.usefixtures("on_path")
def test_it_is_listed():
    from tcli_server.backends.listing import list_backends

    (linear,) = [one for one in list_backends() if one.name == "linear"]
    assert (linear.version, linear.files, linear.devices, linear.install) == ("0.1.0", ("model.npy",), ("CPU",), "")
