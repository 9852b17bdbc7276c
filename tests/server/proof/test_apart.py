"""A model that is proved in a process of its own takes nothing else with it when it ends, hangs or grows."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import batching_models as graphs
from row_models import write_rows
from tcli_server.backends import registry
from tcli_server.proof import Verdict, prove_apart, prove_repositories
from tcli_server.repository import ModelFolder
from tcli_server.repository.repositories import Repositories
from waiting import until

BACKEND = """
import os, signal, sys
from tcli_server.backends import Backend, BackendKind, Instance
from tcli_server.signature import ModelSignature, TensorSignature

KIND = BackendKind("rough", "", "model.rough", implementation="rough_backend:RoughBackend")


class RoughInstance(Instance):
    signature = ModelSignature((TensorSignature("x", "FP32", (-1, 4)),), (TensorSignature("y", "FP32", (-1, 4)),))

    def __init__(self, code):
        self.code = code

    def run(self, inputs, outputs):
        x = inputs["x"]
        exec(self.code)
        return [x * 2]

    def close(self):
        pass


class RoughBackend(Backend):
    kind = KIND

    def open(self, config, model_file, placement, surroundings):
        return RoughInstance(model_file.read_text())
"""


@pytest.fixture
def rough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository, where a backend is installed that executes its models' files in the server's process."""
    site = tmp_path / "site"
    information = site / "rough-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: rough\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[tcli.backends]\nrough = rough_backend:KIND\n")
    (site / "rough_backend.py").write_text(BACKEND)
    monkeypatch.syspath_prepend(str(site))
    for function in (registry.kinds, registry.is_installed):
        function.cache_clear()
    yield tmp_path / "models"
    for function in (registry.kinds, registry.is_installed):
        function.cache_clear()


def proved(repository: Path, code: str, **more: float) -> Verdict:
    folder = repository / "m"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.rough").write_text(code)
    return prove_apart(ModelFolder("m", folder), **more)


def test_the_same_verdict_as_in_this_process(tmp_path: Path):
    repository = graphs.write(tmp_path, "m", graphs.quantized, graphs.config_of("m", 8, "[ 8 ]", "[ 5 ]"))
    verdict = prove_apart(ModelFolder("m", repository / "m"))
    assert (verdict.outcome, verdict.output, verdict.shapes) == ("wrong", "y", (("x", (8,)),))
    assert "DynamicQuantizeLinear" in verdict.reason


def test_models_may_ask_others_of_their_repository(tmp_path: Path):
    write_rows(tmp_path, "2 * x", "inner")
    asked = (
        "pb_utils.InferenceRequest(model_name='inner', requested_output_names=['y'], inputs=[pb_utils.Tensor('x', x)])"
    )
    folder = write_rows(tmp_path, f"pb_utils.get_output_tensor_by_name({asked}.exec(), 'y').as_numpy()", "outer")
    assert prove_apart(ModelFolder("outer", folder)).outcome == "ok"


def test_what_models_print_disturbs_nothing(rough: Path):
    assert proved(rough, "print('{}', flush=True); os.write(1, b'{')").outcome == "ok"


@pytest.mark.parametrize("code", ["pass", "if len(x) > 1: "])
@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("sys.stderr.write('no such kernel'), sys.stderr.flush(), os._exit(3)", "exit status 3, as a server's would"),
    ],
)
def test_a_process_that_dies_is_a_verdict_with_its_reason(rough: Path, code: str, end: str, says: str):
    verdict = proved(rough, end if code == "pass" else code + end)
    assert (verdict.outcome, verdict.died) == ("unchecked", True)
    assert says in verdict.reason
    assert ("its last words: " in verdict.reason) == ("kernel" in end)


def test_a_process_that_is_killed_ran_out_of_memory(rough: Path):
    verdict = proved(rough, "os.kill(os.getpid(), signal.SIGKILL)")
    assert (verdict.outcome, verdict.died) == ("unchecked", False)
    assert "memory runs out" in verdict.reason


def test_time_is_bounded(rough: Path):
    verdict = proved(rough, "import time; time.sleep(600)", limit=3)
    assert verdict.reason == "it took longer than 3 seconds"
    assert not any("tcli_server.proof.worker" in " ".join(child.cmdline()) for child in psutil.Process().children())


def test_memory_is_bounded(rough: Path):
    code = "self.held = bytearray(b'1') * (1 << 29); import time; time.sleep(600)"
    verdict = proved(rough, code, memory=400 << 20, limit=100)
    assert verdict.reason == "it needed more memory than there is for it: 400 MiB"


def test_it_ends_with_whoever_asked(rough: Path):
    """Even one that is killed and can say nothing."""
    folder = rough / "m"
    (folder / "1").mkdir(parents=True)
    file = rough.parent / "pid"
    (folder / "1" / "model.rough").write_text(
        f"import time; open({str(file)!r}, 'w').write(str(os.getpid()) + '.'); time.sleep(600)"
    )
    program = (
        "import sys; sys.path[:] = eval(sys.argv[1])\nfrom pathlib import Path\nfrom tcli_server.proof import prove_apart\n"
        f"from tcli_server.repository import ModelFolder\nprove_apart(ModelFolder('m', Path({str(folder)!r})))"
    )
    asking = subprocess.Popen([sys.executable, "-c", program, repr(sys.path)])
    try:
        until(lambda: file.exists() and file.read_text().endswith("."))
        asking.kill()
        pid = int(file.read_text()[:-1])
        until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    finally:
        asking.kill()
        asking.wait()


def test_a_repository_is_gone_through_to_its_end(rough: Path):
    """Whatever one model does, the next is proved; what is wrong becomes a problem, of the right line."""
    for name, code in (("a_dies", "os.kill(os.getpid(), signal.SIGABRT)"), ("b_is_right", "pass")):
        (rough / name / "1").mkdir(parents=True)
        (rough / name / "1" / "model.rough").write_text(code)
    config = graphs.config_of("c_mixes", 8, "[ 4 ]", "[ 4 ]")
    graphs.write(rough, "c_mixes", graphs.normalizes_over_the_batch, config)
    (rough / "d_lacks" / "1").mkdir(parents=True)
    (rough / "d_lacks" / "1" / "model.plan").write_bytes(b"plan")
    repositories = Repositories([rough])
    begun: list[str] = []
    proofs = list(prove_repositories(repositories, list(repositories.folders()), begin=begun.append))
    assert [(proof.model, proof.verdict.outcome) for proof in proofs] == [
        ("a_dies", "unchecked"),
        ("b_is_right", "ok"),
        ("c_mixes", "wrong"),
        ("d_lacks", "unchecked"),
    ]
    assert begun == [proof.model for proof in proofs]
    dies, right, mixes, lacks = proofs
    assert dies.problem is not None
    assert "SIGABRT" in dies.problem.found
    assert right.problem is None
    assert mixes.problem is not None
    assert mixes.problem.blocks
    assert (mixes.problem.file, mixes.problem.line) == (rough / "c_mixes" / "config.pbtxt", 4)
    assert "max_batch_size: 0" in mixes.problem.fix
    assert lacks.problem is None  # told by the check itself
    assert "tensorrt" in lacks.verdict.reason
