"""What a model's class is given, and what its names may be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_models import IDENTITY, IDENTITY_CONFIG, write_python_model
from tcli_server.engine import Engine
from tcli_server.errors import ServerError
from tcli_server.models.check import check_repository
from tcli_server.options import EngineOptions

CONFIG = """
backend: "python"
input { name: "IN" data_type: TYPE_INT32 dims: [1] optional: true }
output { name: "JSON" data_type: TYPE_STRING dims: [1] }
parameters { key: "greeting" value { string_value: "hello" } }
"""
TELLING = """
import json
import sys

import beside


class TritonPythonModel:
    def initialize(self, args):
        self.told = {"args": args, "name": __name__, "path": sys.path, "argv": sys.argv, "beside": beside.VALUE}
        self.told["dir"] = pb_utils.get_model_dir()

    def execute(self, requests):
        text = np.array([json.dumps(self.told)], np.object_)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("JSON", text)]) for _ in requests]
"""
ANY = {"IN": np.zeros(1, np.int32)}


def write(repository: Path, config: str = CONFIG, version: int = 1) -> Path:
    folder = write_python_model(repository, "m", TELLING, config)
    (folder / "1").rename(folder / str(version))
    (folder / str(version) / "beside.py").write_text(f"VALUE = {version}\n")
    return folder


def told(engine: Engine, version: str = "") -> Any:
    return json.loads(engine.infer("m", ANY, model_version=version).outputs["JSON"][0])


def test_initialize_is_given_exactly_these(tmp_path: Path):
    folder = write(tmp_path)
    with Engine(tmp_path) as engine:
        heard = told(engine)
        args = heard["args"]
        config = json.loads(args.pop("model_config"))
        assert args == {
            "model_instance_kind": "CPU",
            "model_instance_name": "m_0_0",
            "model_instance_device_id": "0",
            "model_repository": str(folder),
            "model_version": "1",
            "model_name": "m",
        }
    assert config["parameters"]["greeting"]["string_value"] == "hello"
    assert config["input"][0]["dims"] == [1]  # as a number, not as protobuf's text
    assert config["instance_group"][0]["count"] == 1  # what was left out is in it
    assert (heard["name"], heard["dir"], heard["argv"]) == ("1.model", str(folder / "1"), [""])
    assert heard["path"][-2:] == [str(folder / "1"), str(folder)]


def test_a_model_may_choose_by_itself_on_what_it_runs(tmp_path: Path):
    write(tmp_path, CONFIG + "instance_group { kind: KIND_MODEL }\n")
    with Engine(tmp_path) as engine:
        args = told(engine)["args"]
        assert (args["model_instance_kind"], args["model_instance_device_id"]) == ("MODEL", "0")


def test_versions_have_modules_of_their_own(tmp_path: Path):
    folder = write(tmp_path, CONFIG + "version_policy { all { } }\n")
    (folder / "3").mkdir()
    (folder / "3" / "model.py").write_text((folder / "1" / "model.py").read_text())
    (folder / "3" / "beside.py").write_text("VALUE = 3\n")
    with Engine(tmp_path) as engine:
        assert [(told(engine, each)["beside"], told(engine, each)["name"]) for each in "13"] == [
            (1, "1.model"),
            (3, "3.model"),
        ]


@pytest.mark.parametrize(
    "name", ["a;b", "a|b", "a&b", "a$b", "a`b", "a<b", "a(b)", "a[b]", "a{b}", "a'b", 'a"b', "a*?~#!"]
)
def test_names_that_mean_something_to_a_shell_are_refused(tmp_path: Path, name: str):
    write_python_model(tmp_path, name, IDENTITY)
    (problem,) = check_repository(tmp_path)
    assert problem.field == "name"
    assert "Invalid stub name: contains invalid characters" in problem.found


@pytest.mark.parametrize("name", ["model_with_underscores", "model-with-hyphens", "a b", "a.b", "a,b=c", "mod\u00e8le"])
def test_other_names_are_not(tmp_path: Path, name: str):
    write_python_model(tmp_path, name, IDENTITY)
    with Engine(tmp_path) as engine:
        assert engine.infer(name, {"INPUT0": np.ones(1, np.float32)}).outputs["OUTPUT0"].tolist() == [1]


def test_instances_have_such_names_too(tmp_path: Path):
    write_python_model(tmp_path, "m", IDENTITY, IDENTITY_CONFIG + 'instance_group { name: "a|b" }\n')
    (problem,) = check_repository(tmp_path)
    assert (problem.field, problem.line) == ("instance_group[0].name", 5)


@pytest.mark.parametrize(
    ("file", "field", "says"),
    [
        ("model.txt", "default_model_filename", "Model name must end with '.py'"),
        ("other.py", "", "model file not found in"),
    ],
)
def test_the_file_must_be_there_and_be_python(tmp_path: Path, file: str, field: str, says: str):
    write_python_model(tmp_path, "m", IDENTITY, IDENTITY_CONFIG + f'default_model_filename: "{file}"\n')
    with Engine(tmp_path) as engine, pytest.raises(ServerError):
        engine.infer("m", {})
    with Engine(tmp_path) as engine:
        assert says in engine.repository_index().models[0].reason
    assert field in {problem.field for problem in check_repository(tmp_path)}


def test_files_that_are_pushed_may_be_named_from_the_model_s_root(tmp_path: Path):
    config = {"backend": "python", "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]}]}
    config["input"] = [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}]
    code = f"import triton_python_backend_utils as pb_utils\n{IDENTITY}".encode()
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")) as engine:
        engine.load("pushed", json.dumps(config), {"/1/model.py": code})
        assert engine.infer("pushed", {"INPUT0": np.ones(1, np.float32)}).outputs["OUTPUT0"].tolist() == [1]
