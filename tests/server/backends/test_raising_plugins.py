"""A backend of another package that raises where nobody expects it: told as a problem of its models, and nobody else suffers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import onnx_models
from repositories import write_model

PACKAGE = """
import os
from tcli_server.backends import Backend, BackendKind, Instance
from tcli_server.backends.handling import Handling
from tcli_server.backends.source import Source
from tcli_server.signature import ModelSignature, TensorSignature


def ask(hook):
    if os.environ["RAISES_IN"] == hook:
        raise LookupError(f"in {hook}")


class Looks(Handling):
    def check(self, path): ask("check")
    def file_name(self, kind, path): ask("file_name"); return "model.odd"
    def parts(self, path): ask("parts"); return {}
    def batch_doubt(self, path, signature): ask("batch_doubt"); return ""
    def names_batch(self, path, signature): ask("names_batch"); return True


class Runs(Instance):
    @property
    def signature(self):
        ask("signature")
        return ModelSignature((TensorSignature("x", "FP32", (-1, 3)),), (TensorSignature("y", "FP32", (-1, 3)),))
    def run(self, inputs, outputs): return [inputs["x"]]
    def close(self): ask("close")


class Odd(Backend):
    def __init__(self):
        ask("init")
        self.kind = KIND
    def complaints(self, config): ask("complaints"); return []
    def runs_on_gpu(self): ask("runs_on_gpu"); return False
    def thread_count(self, config, placement): ask("thread_count"); return 1
    def complete(self, config, model_file, surroundings): ask("complete")
    def open(self, config, model_file, placement, surroundings): ask("open"); return Runs()


KIND = BackendKind("odd", "", "model.odd", implementation="odd:Odd", needs="odd", source=Source(handling="odd:Looks"))
"""
SERVE = """
import sys
from tcli_server import Engine
with Engine(sys.argv[1]) as engine:
    for one in engine.repository_index().models: print(one.name, one.state, one.reason)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed, beside a repository with one of its models and one of another backend's."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "odd.py").write_text(PACKAGE)
    about = folder / "odd-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[tcli.backends]\nodd = odd:KIND\n")
    (folder / "models" / "strange" / "1").mkdir(parents=True)
    (folder / "models" / "strange" / "1" / "model.odd").touch()
    write_model(folder / "models", "add_sub", onnx_models.add_sub())
    return folder


def run(site: Path, hook: str, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RAISES_IN": hook, "PYTHONPATH": os.pathsep.join((str(site), *sys.path))}
    command = (sys.executable, *command)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


@pytest.mark.parametrize(
    "hook", ["init", "complaints", "runs_on_gpu", "thread_count", "complete", "open", "signature", "close"]
)
def test_a_check_and_a_server_judge_alike(site: Path, hook: str):
    is_served = hook == "close"
    checked = run(site, hook, "-m", "triton_cli", "repo", "check", f"--model-repository={site / 'models'}")
    assert checked.returncode == (0 if is_served else 1)
    assert "Traceback" not in checked.stderr or is_served
    assert ("LookupError: in" in checked.stdout + checked.stderr.replace("\n", " ")) or is_served
    served = run(site, hook, "-c", SERVE, str(site / "models"))
    assert served.returncode == 0
    assert "add_sub READY" in served.stdout
    assert ("strange READY" in served.stdout) == is_served
    assert f"LookupError: in {hook}" in (served.stderr if is_served else served.stdout)


@pytest.mark.parametrize("hook", ["check", "file_name", "parts", "batch_doubt", "names_batch"])
def test_a_model_is_not_added_and_the_reason_is_told(site: Path, tmp_path: Path, hook: str):
    for source in (site / "models" / "strange" / "1" / "model.odd", site / "models" / "strange" / "1"):
        added = run(
            site, hook, "-m", "triton_cli", "repo", "add", str(source), f"--model-repository={tmp_path}", "--name=m"
        )
        assert (added.returncode, added.stdout) == (1, "")
        assert f"the backend 'odd' fails on it: LookupError: in {hook}" in " ".join(added.stderr.split())
        assert "Traceback" not in added.stderr
        assert not (tmp_path / "m").exists()
