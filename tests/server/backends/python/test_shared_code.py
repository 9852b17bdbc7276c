"""Python-based backends: a folder with a `model.py` that runs all models which name it."""

from pathlib import Path

import numpy as np
import pytest

from python_models import HEADER, IDENTITY, IDENTITY_CONFIG, write_python_model
from tcli_server.backends.registry import names
from tcli_server.engine import Engine
from tcli_server.models.check import check_repository
from tcli_server.options import EngineOptions

TIMES = """
import pathlib

import helper


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]})
        config.add_output({"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]})
        return config

    def initialize(self, args):
        self.factor = helper.read(pathlib.Path(pb_utils.get_model_dir()) / "factor.txt")
        assert __name__ == "model", __name__

    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", request.inputs()[0].as_numpy() * self.factor)])
            for request in requests
        ]
"""
HELPER = "def read(path):\n    return float(path.read_text())\n"


@pytest.fixture
def backends(tmp_path: Path) -> Path:
    """A folder with the backend `times`, whose models are a file with a number."""
    folder = tmp_path / "backends" / "times"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(HEADER + TIMES)
    (folder / "helper.py").write_text(HELPER)
    return folder.parent


def write_model(repository: Path, name: str, config: str, **factors: float) -> None:
    for version, factor in factors.items():
        folder = repository / name / version.removeprefix("v")
        folder.mkdir(parents=True)
        (folder / "factor.txt").write_text(str(factor))
    (repository / name / "config.pbtxt").write_text(config)


def options(backends: Path, **more: bool) -> EngineOptions:
    return EngineOptions(backend_config={"": {"backend-directory": str(backends)}}, **more)  # type: ignore[arg-type]


def answer(engine: Engine, model: str, version: str = "") -> float:
    response = engine.infer(model, {"INPUT0": np.ones(1, np.float32)}, model_version=version)
    return float(response.outputs["OUTPUT0"][0])


def test_models_share_code_and_have_files_of_their_own(tmp_path: Path, backends: Path):
    repository = tmp_path / "models"
    write_model(repository, "two", 'backend: "times"\nversion_policy { all { } }', v1=2, v3=3)
    write_model(repository, "four", 'backend: "times" runtime: "model.py"', v1=4)
    write_python_model(repository, "plain", IDENTITY)
    with Engine(repository, options=options(backends)) as engine:
        assert [answer(engine, "two", "1"), answer(engine, "two", "3"), answer(engine, "four")] == [2, 3, 4]
        assert answer(engine, "plain") == 1
        config = engine.model_config("two")
        assert (config.backend, config.runtime, config.input[0].name) == ("times", "model.py", "INPUT0")


def test_a_folder_takes_a_backend_s_place_only_where_runtime_says_so(tmp_path: Path, backends: Path):
    (backends / "times").rename(backends / "onnxruntime")
    repository = tmp_path / "models"
    write_model(repository, "folder", 'backend: "onnxruntime" runtime: "model.py"', v1=2)
    write_model(repository, "own", 'backend: "onnxruntime"', v1=2)
    with Engine(repository, options=options(backends)) as engine:
        assert answer(engine, "folder") == 2
        reasons = {row.name: row.reason for row in engine.repository_index().models}
    assert "1/model.onnx" in reasons["own"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('backend: "divided"', f"backend: found 'divided', expected {' or '.join(names())} or times"),
        ('backend: "../backends/times"', "backend: found '../backends/times'"),
        ('backend: "times" runtime: "libtriton_times.so"', "runtime: found 'libtriton_times.so', expected 'model.py'"),
        ('backend: "python" runtime: "model.py"', "runtime: found 'model.py', expected 'libtriton_python.so'"),
    ],
)
def test_what_is_not_there_is_refused_by_name(tmp_path: Path, backends: Path, config: str, says: str):
    repository = tmp_path / "models"
    write_model(repository, "m", config, v1=2)
    with Engine(repository, options=options(backends)) as engine:
        assert says in engine.repository_index().models[0].reason


def test_a_check_finds_them_as_loading_does(tmp_path: Path, backends: Path):
    repository = tmp_path / "models"
    write_model(repository, "two", 'backend: "times"', v1=2)
    settings = {"": {"backend-directory": str(backends)}}
    assert check_repository(repository, settings=settings) == []
    (problem,) = check_repository(repository)
    assert problem.field == "backend"
    (repository / "two" / "1" / "factor.txt").unlink()
    (problem,) = check_repository(repository, settings=settings)
    assert problem.file == backends / "times" / "model.py"
    assert "factor.txt" in problem.found + problem.expected


def test_an_environment_beside_the_code_is_for_its_models(tmp_path: Path, backends: Path):
    (backends / "times" / "pb_exec_env_model.py.tar.gz").write_text("no archive")
    write_model(tmp_path / "models", "two", 'backend: "times"', v1=2)
    with Engine(tmp_path / "models", options=options(backends)) as engine:
        assert "pb_exec_env_model.py.tar.gz cannot be unpacked" in engine.repository_index().models[0].reason


def test_the_file_of_a_python_model_may_be_called_otherwise(tmp_path: Path):
    config = IDENTITY_CONFIG + 'default_model_filename: "identity.py"\n'
    folder = write_python_model(tmp_path, "m", IDENTITY, config)
    (folder / "1" / "model.py").rename(folder / "1" / "identity.py")
    with Engine(tmp_path) as engine:
        assert answer(engine, "m") == 1
