"""A row that is refused costs no other one anything, and whatever happens to the server, what was answered is kept."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from python_models import write_python_model
from serve_command import serving
from tcli_batch import Job, JobOptions, LocalTransport, StoppedError, find_data, gathering
from tcli_batch import job as job_module
from tcli_client import ClientError, Transport, connect
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server

MODEL = """
import os, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            if (x < 0).any():
                responses.append(pb_utils.InferenceResponse(error=pb_utils.TritonError("below zero")))
                continue
            if (x == 9_000).any():
                os._exit(9)
            while (x == 7_000).any() and not os.path.exists({released!r}):
                open({hanging!r}, "w").close()
                time.sleep(0.01)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", np.repeat(x, {width}, axis=1))]))
        return responses
"""
CONFIG = """
backend: "python"
max_batch_size: 8
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ 1 ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {width} ] }} ]
{more}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that refuse rows below zero, end at 9000, and hang at 7000 until the file `released` is there; one has long answers."""
    folder = tmp_path_factory.mktemp("models")
    for name, width, more in (
        ("plain", 1, ""),
        ("long", 65_536, ""),
        ("full", 1, "dynamic_batching { default_queue_policy { max_queue_size: 1 } }"),
    ):
        source = MODEL.format(released=str(folder / "released"), hanging=str(folder / "hanging"), width=width)
        write_python_model(folder / "models", name, source, CONFIG.format(width=width, more=more))
    return folder / "models"


@pytest.fixture(scope="module")
def local(repository: Path) -> Iterator[LocalTransport]:
    with LocalTransport(repository) as server:
        yield server


@pytest.fixture(scope="module", params=["local", "http", "grpc"])
def server(request: pytest.FixtureRequest, repository: Path, local: LocalTransport) -> Iterator[Transport]:
    if request.param == "local":
        yield local
        return
    options = ServeOptions(http_port=0, grpc_port=0, metrics_port=0, http_address="127.0.0.1", grpc_address="127.0.0.1")
    with Server(Engine(repository), options) as running:
        port = running.http_port if request.param == "http" else running.grpc_port
        with connect(f"{request.param}://127.0.0.1:{port}") as transport:
            yield transport


@pytest.fixture(autouse=True)
def a_part_for_each_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job_module, "PART_BYTES", 1)


def job(server: Transport, rows: np.ndarray, model: str = "plain") -> Job:
    if not Path("x.npy").exists():
        np.save("x.npy", rows.astype(np.float32).reshape(-1, 1))
    return Job(server, find_data(["x.npy"]), JobOptions(model))


def answered(path: str = "out.jsonl") -> list[tuple[int, float]]:
    return [(row["index"], row["outputs"]["y"][0]) for row in map(json.loads, Path(path).read_text().splitlines())]


@pytest.mark.parametrize("bad", [[0], [63], [3, 4, 5, 20], list(range(64))], ids=str)
def test_a_refused_row_costs_no_other(server: Transport, bad: list[int]):
    rows = np.arange(64)
    rows[bad] = -1
    summary = job(server, rows).run(Path("out.jsonl"))
    assert (summary.rows, summary.refused) == (64 - len(bad), len(bad))
    assert answered() == [(row, row) for row in range(64) if row not in bad]
    refused = [json.loads(line) for line in Path("out.jsonl.errors.jsonl").read_text().splitlines()]
    assert [row["index"] for row in refused] == bad
    assert all("below zero" in row["reason"] for row in refused)


def test_a_row_that_ends_its_models_process_costs_no_other(server: Transport):
    rows = np.arange(64)
    rows[20] = 9_000
    summary = job(server, rows).run(Path("out.jsonl"))
    assert (summary.rows, summary.refused) == (63, 1)
    assert answered() == [(row, row) for row in range(64) if row != 20]
    assert "ended with status 9" in Path("out.jsonl.errors.jsonl").read_text()


def test_a_server_without_room_is_asked_again(server: Transport):
    summary = job(server, np.arange(200), "full").run(Path("out.jsonl"))
    assert (summary.rows, summary.refused) == (200, 0)
    assert answered() == [(row, row) for row in range(200)]


def test_a_request_that_hangs_does_not_hold_who_wants_to_stop(server: Transport, repository: Path):
    """The model hangs until the job has stopped; what was answered before is kept, and the rest comes later."""
    released, hanging = repository.parent / "released", repository.parent / "hanging"
    rows = np.arange(64)
    rows[40] = 7_000
    stop = threading.Event()

    def stop_when_it_hangs() -> None:
        while not hanging.exists():
            time.sleep(0.01)
        stop.set()

    watching = threading.Thread(target=stop_when_it_hangs)
    watching.start()
    try:
        with pytest.raises(StoppedError):
            job(server, rows).run(Path("out.jsonl"), stop=stop)
        assert not released.exists()
        released.write_text("")
        assert job(server, rows).run(Path("out.jsonl"), resume=True).resumed <= 40
        assert [index for index, _ in answered()] == list(range(64))
    finally:
        hanging.write_text("")
        watching.join()
        hanging.unlink()
        released.unlink(missing_ok=True)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_that_is_gone_costs_nothing_that_was_answered(
    repository: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gathering, "_MOST_ROWS", 1)
    rows = np.arange(400)

    def url(server: object) -> str:
        return f"{protocol}://{server.url('HTTP' if protocol == 'http' else 'gRPC')}"

    with serving("--model-repository", repository) as first, connect(url(first)) as transport:

        def moved(progress: object) -> None:
            if progress.rows >= 24 and first.process.poll() is None:
                first.process.send_signal(signal.SIGKILL)
                first.process.wait()

        with pytest.raises(ClientError):
            job(transport, rows).run(Path("out.jsonl"), progress=moved)
    assert not Path("out.jsonl").exists()
    with serving("--model-repository", repository) as second, connect(url(second)) as transport:
        summary = job(transport, rows).run(Path("out.jsonl"), resume=True)
    assert 24 <= summary.resumed < 400
    assert answered() == [(row, row) for row in range(400)]
    assert not Path("out.jsonl.errors.jsonl").exists()


def test_long_answers_come_in_pieces(local: LocalTransport):
    """200 rows of 256 KiB: no more than some megabytes are held for whoever takes them."""
    sizes = [results.tensors["y"].nbytes for results, _ in job(local, np.arange(200), "long").results()]
    assert sum(sizes) == 200 * 65_536 * 4
    assert max(sizes) <= 12 << 20
