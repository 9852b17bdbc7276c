"""Batch inference on a Ray cluster of two nodes on this machine: rows are there once, whatever happens to nodes and drivers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest

from python_models import write_python_model
from repositories import write_standard_models
from tcli_batch import DataError, JobError, JobOptions, find_data
from tcli_batch.ray_data import Cluster, RayJob, connected, infer
from waiting import until

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

from ray.cluster_utils import Cluster as Nodes  # noqa: E402  there is a test above whether Ray is there

FILES, ROWS = 10, 4
STORE = 80 << 20

# Answers twice its input: rows of the first file at once, others when there is a file `gate` beside the repository. Each
# actor that asks leaves a file that is named by its process. Two instances, so that one request can wait beside another.
GATED = """
import os, time

class TritonPythonModel:
    def initialize(self, args):
        self.folder = os.path.dirname(os.path.dirname(args["model_repository"]))

    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
            open(os.path.join(self.folder, "asked", str(os.getppid())), "w").close()
            while values.max() >= 100 and not os.path.exists(os.path.join(self.folder, "gate")):
                time.sleep(0.01)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", values * 2)]))
        return responses
"""
CONFIG = """
backend: "python"
max_batch_size: 4
instance_group { count: 2 }
input { name: "INPUT0" data_type: TYPE_FP32 dims: [1] }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [1] }
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    running = Nodes(initialize_head=True, head_node_args=head)
    try:
        yield running
    finally:
        ray.shutdown()
        running.shutdown()


@pytest.fixture
def cluster(nodes: Nodes) -> Iterator[Cluster]:
    with connected(nodes.address, cores=1) as found:
        yield found


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_standard_models(tmp_path_factory.mktemp("standard"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gated model, and files of rows k * 100 + row, each a share; one row of the fourth file is no number."""
    (tmp_path / "asked").mkdir()
    write_python_model(tmp_path / "models", "gated", GATED, CONFIG)
    for file in range(FILES):
        rows = [str(file * 100 + row) for row in range(ROWS)]
        if file == 3:
            rows[2] = "many"
        (tmp_path / f"{file:02}.csv").write_text("\n".join(["INPUT0", *rows]) + "\n")
    return tmp_path


def check(out: Path) -> None:
    """Each row is there once, in the order of the data."""
    lines = [json.loads(line) for part in sorted(out.iterdir()) for line in part.read_text().splitlines()]
    wanted = [(file, row) for file in range(FILES) for row in range(ROWS) if (file, row) != (3, 2)]
    assert [(Path(line["source"]).name, line["index"]) for line in lines] == [
        (f"{file:02}.csv", row) for file, row in wanted
    ]
    assert [line["outputs"]["OUTPUT0"] for line in lines] == [[2 * (100 * file + row)] for file, row in wanted]
    (refused,) = map(json.loads, out.with_name(f"{out.name}.errors.jsonl").read_text().splitlines())
    assert (Path(refused["source"]).name, refused["index"]) == ("03.csv", 2)
    assert "'many' is no number" in refused["reason"]
    assert not out.with_name(f"{out.name}.parts").exists()


def job(cluster: Cluster, folder: Path) -> RayJob:
    return RayJob(cluster, str(folder / "models"), find_data([str(folder / "*.csv")]), JobOptions("gated"))


def actors(folder: Path) -> list[str]:
    """Processes that have asked the model, and are there."""
    return [path.name for path in (folder / "asked").iterdir() if psutil.pid_exists(int(path.name))]


def test_a_node_that_is_killed_costs_no_row(nodes: Nodes, folder: Path):
    second = nodes.add_node(num_cpus=1, object_store_memory=STORE)
    lost: list[int] = []

    def kill(_: object) -> None:
        if not (folder / "gate").exists():
            until(lambda: len(actors(folder)) == 2, "the second node has no share")
            nodes.remove_node(second, allow_graceful=False)
            until(lambda: len(actors(folder)) == 1, "the actor of the node that was killed goes on")
            (folder / "gate").touch()

    with connected(nodes.address) as both:
        assert both == Cluster(actors=2, cores=1)
        summary = job(both, folder).run(str(folder / "out.jsonl"), progress=kill, lost=lost.append)
    assert lost, "no share was under way on the node that was killed"
    assert (summary.rows, summary.refused) == (FILES * ROWS - 1, 1)
    check(folder / "out.jsonl")


DRIVER = """
import sys
from tcli_batch import JobOptions, find_data
from tcli_batch.ray_data import RayJob, connected
address, folder = sys.argv[1:]
with connected(address, cores=1) as cluster:
    job = RayJob(cluster, f"{folder}/models", find_data([f"{folder}/*.csv"]), JobOptions("gated"))
    job.run(f"{folder}/out.jsonl")
"""


def test_a_driver_that_is_killed_is_gone_on_with(nodes: Nodes, folder: Path):
    out = folder / "out.jsonl"
    with subprocess.Popen([sys.executable, "-c", DRIVER, nodes.address, str(folder)]) as driver:
        try:
            until((folder / "out.jsonl.parts" / "00000000.json").exists, "no share was done")
        finally:
            driver.send_signal(signal.SIGKILL)
    (folder / "gate").touch()
    with connected(nodes.address, cores=1) as cluster:
        again = job(cluster, folder)
        with pytest.raises(JobError, match="an unfinished job"):
            again.run(str(out))
        summary = again.run(str(out), resume=True)
        with pytest.raises(JobError, match="is there already"):
            again.run(str(out))
    assert ROWS <= summary.resumed < summary.rows == FILES * ROWS - 1
    check(out)


def test_the_command_says_what_it_does_without_ray(nodes: Nodes, folder: Path):
    (folder / "gate").touch()
    command = [sys.executable, "-m", "triton_cli", "infer", "-m", "gated", "--model-repository", "models"]
    files = sorted(path.name for path in folder.glob("*.csv"))
    told = {}
    for engine, more in {"ray": ["--engine", "ray", "--ray-address", nodes.address], "tcli": []}.items():
        ended = subprocess.run(
            [*command, *files, "-o", f"{engine}.jsonl", "--json", *more],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 1, ended.stderr
        told[engine] = json.loads(ended.stdout)
    for key in ("model", "version", "rows", "refused_rows"):
        assert told["ray"][key] == told["tcli"][key]
    parts = sorted((folder / "ray.jsonl").iterdir())
    assert b"".join(part.read_bytes() for part in parts) == (folder / "tcli.jsonl").read_bytes()
    assert (folder / "ray.jsonl.errors.jsonl").read_bytes() == (folder / "tcli.jsonl.errors.jsonl").read_bytes()


def test_what_cannot_be_done_is_said_before_any_row(cluster: Cluster, folder: Path):
    data = find_data([str(folder / "00.csv")])
    with pytest.raises(JobError, match=r"node .+ cannot run model 'nobody'"):
        RayJob(cluster, str(folder / "models"), data, JobOptions("nobody"))
    with pytest.raises(JobError, match=r"node .+ has no model repository"):
        RayJob(cluster, str(folder / "elsewhere"), data, JobOptions("gated"))
    with pytest.raises(DataError, match="has no column 'weight'"):
        RayJob(cluster, str(folder / "models"), data, JobOptions("gated"), mapped=["INPUT0=weight"])


@pytest.mark.usefixtures("cluster")
def test_a_dataset_of_ones_own(standard: Path):
    a = np.arange(8 * 16, dtype=np.float32).reshape(8, 16)
    table = pa.table({"id": range(8), "a": [*a[:5].tolist(), [1.0, 2.0], None, a[7].tolist()], "b": [[1.0] * 16] * 8})
    rows = infer(
        ray.data.from_arrow(table), standard, "add_sub", columns={"INPUT0": "a", "INPUT1": "b"}, classes=1, raw=True
    )
    found = sorted(rows.take_all(), key=lambda row: row["id"])
    assert [row["id"] for row in found if row["error"] is None] == [0, 1, 2, 3, 4, 7]
    assert found[2]["OUTPUT0"] == (a[2] + 1).tolist()
    assert found[7]["OUTPUT0_classes"][0]["index"] == 15
    assert found[5]["OUTPUT0"] is None
    assert "expected a row of shape [16], found [2]" in found[5]["error"]
    assert "there is no value" in found[6]["error"]


@pytest.mark.usefixtures("cluster")
def test_tensors_of_rays_own(standard: Path):
    a = np.arange(64, dtype=np.float32).reshape(4, 16)
    rows = infer(ray.data.from_numpy(a), standard, "add_sub", columns={"INPUT0": "data", "INPUT1": "data"})
    assert np.stack([row["OUTPUT0"] for row in rows.take_all()]).tolist() == (2 * a).tolist()


def test_an_address_where_nothing_is():
    with pytest.raises(JobError, match=r"no Ray cluster can be used at '127\.0\.0\.1:1'"), connected("127.0.0.1:1"):
        pass
