"""`tcli serve --workers`: several processes that answer as one server."""

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton

import sequence_models
from python_models import write_python_model
from repositories import write_model
from serve_command import PATIENCE, Serving
from worker_servers import BODY, SEVERAL, ask, counted, scraped, two_workers, until, workers, write_models

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="SO_REUSEPORT shares a port on Linux")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_models(tmp_path / "models")


def test_two_workers_answer_on_one_port_and_their_counts_are_one(repository: Path, tmp_path: Path):
    log = tmp_path / "access"
    metrics = [f"--metrics-config={kind}_latencies=true" for kind in ("histogram", "summary")]
    with two_workers("--model-repository", repository, "--access-log", log, *metrics) as server:
        assert [line.split() for line in server.output.splitlines()[:3]] == [
            ["Model", "Version", "Status"],
            ["identity", "1", "READY"],
            ["other", "1", "READY"],
        ]
        assert len(workers(server)) == 2
        for _ in range(SEVERAL):
            assert ask(server, "models/identity/infer", BODY).json()["outputs"][0]["data"] == [1, 2, 3, 4]
        for _ in range(SEVERAL):
            with triton.InferenceServerClient(server.url("gRPC")) as client:
                value = triton.InferInput("INPUT0", [1, 4], "FP32")
                value.set_data_from_numpy(np.ones((1, 4), np.float32))
                client.infer("identity", [value])
        for _ in range(SEVERAL):  # whoever is asked
            assert counted(server) == 2 * SEVERAL
        with triton.InferenceServerClient(server.url("gRPC")) as client:
            assert client.get_inference_statistics("identity").model_stats[0].inference_count == 2 * SEVERAL
        assert scraped(server, "nv_inference_count") == 2 * SEVERAL
        assert scraped(server, "tcli_server_workers") == 2
        for family in ("tcli_request_duration_seconds", "tcli_batch_size", "nv_inference_request_summary_us"):
            assert scraped(server, f"{family}_count") == 2 * SEVERAL
        assert scraped(server, "tcli_access_log_lost_lines") == 0
        assert server.end()[0] == 0
    inferences = [line for line in log.read_text().splitlines() if 'model="identity"' in line]
    assert sum(line.split(" ")[2] == "HTTP" for line in inferences) == SEVERAL
    assert sum(line.split(" ")[2] == "gRPC" for line in inferences) == SEVERAL


def test_each_worker_has_its_share_of_the_cores(repository: Path):
    with two_workers("--model-repository", repository) as server:
        shares = [set(worker.cpu_affinity()) for worker in workers(server)]
        cores = os.sched_getaffinity(0)
        assert set.union(*shares) == cores or len(cores) == 1
        assert set.intersection(*shares) == set() or len(cores) == 1


def test_loads_unloads_and_settings_reach_all_workers(repository: Path):
    with two_workers("--model-repository", repository, "--model-control-mode=explicit") as server:
        assert ask(server, "repository/models/identity/load", "{}").status_code == 200
        for _ in range(SEVERAL):
            assert ask(server, "models/identity/infer", BODY).status_code == 200
        config = '{"parameters": {"config": "{\\"backend\\": \\"onnxruntime\\", \\"max_batch_size\\": 5}"}}'
        assert ask(server, "repository/models/identity/load", config).status_code == 200
        for _ in range(SEVERAL):
            assert ask(server, "models/identity/config").json()["max_batch_size"] == 5
        with triton.InferenceServerClient(server.url("gRPC")) as client:
            client.unload_model("identity")
        for _ in range(SEVERAL):
            assert ask(server, "models/identity/infer", BODY).status_code == 404
        assert ask(server, "logging", '{"log_verbose_level": 3}').status_code == 200
        for _ in range(SEVERAL):
            assert ask(server, "logging").json()["log_verbose_level"] == 3
        assert ask(server, "trace/setting", '{"trace_rate": "5"}').status_code == 200
        for _ in range(SEVERAL):
            assert ask(server, "trace/setting").json()["trace_rate"] == "5"


def test_what_cannot_be_loaded_is_told_and_the_others_keep_what_they_have(repository: Path):
    with two_workers(
        "--model-repository", repository, "--model-control-mode=explicit", "--load-model=identity"
    ) as server:
        refused = ask(server, "repository/models/nobody/load", "{}")
        assert (refused.status_code, "no folder 'nobody'" in refused.text) == (500, True)
        (repository / "identity" / "1" / "model.onnx").write_bytes(b"no model")
        assert ask(server, "repository/models/identity/load", "{}").status_code == 400
        for _ in range(SEVERAL):
            assert ask(server, "models/identity/infer", BODY).status_code == 200


ONE_OF_THEM = """
class TritonPythonModel:
    def initialize(self, args):
        import os
        if os.path.exists({armed!r}):
            os.mkdir({taken!r})  # only the first one can

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", np.ones(1, np.float32))]) for _ in requests]
"""


ENSEMBLE_OF_PICKY = """
platform: "ensemble"
input { name: "INPUT0" data_type: TYPE_FP32 dims: [-1] }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [-1] }
ensemble_scheduling { step {
  model_name: "picky" model_version: -1
  input_map { key: "INPUT0" value: "INPUT0" } output_map { key: "OUTPUT0" value: "OUTPUT0" }
} }
"""


class Picky:
    """A model that, once armed, only the first worker can load."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self._armed, self._taken = folder / "armed", folder / "taken"
        code = ONE_OF_THEM.format(armed=str(self._armed), taken=str(self._taken))
        self._file = write_python_model(repository, "picky", code) / "1" / "model.py"

    def arm(self) -> None:
        """And change it, so that a load is one."""
        self._armed.touch()
        with suppress(FileNotFoundError):
            self._taken.rmdir()
        with self._file.open("a") as file:
            file.write("\n")

    def disarm(self) -> None:
        self._armed.unlink()


def from_anyone(server: Serving, path: str, body: str | None = None) -> set[tuple[int, str]]:
    """Every answer that some worker gives."""
    answers = [ask(server, path, body) for _ in range(SEVERAL)]
    return {(answer.status_code, answer.text) for answer in answers}


def test_a_load_that_one_worker_cannot_do_is_done_by_none(tmp_path: Path, repository: Path):
    picky = Picky(tmp_path, repository)
    picky.arm()
    (repository / "whole" / "1").mkdir(parents=True)
    (repository / "whole" / "config.pbtxt").write_text(ENSEMBLE_OF_PICKY)
    with two_workers("--model-repository", repository, "--model-control-mode=explicit") as server:
        assert ask(server, "repository/models/whole/load", "{}").status_code == 400
        for name in ("whole", "picky"):  # nor is what one worker loaded for it left there
            assert {status for status, _ in from_anyone(server, f"models/{name}/ready")} == {400}
        ask(server, "repository/models/whole/unload", "{}")
        picky.arm()
        refused = ask(server, "repository/models/picky/load", "{}")
        assert (refused.status_code, "FileExistsError" in refused.text) == (400, True)
        assert "all keep what they had" in refused.text
        for path in ("models/picky/ready", "health/ready"):
            assert {status for status, _ in from_anyone(server, path)} == {400}
        for _, index in from_anyone(server, "repository/index", "{}"):
            assert '"state":"UNAVAILABLE","reason":"' in index
            assert "FileExistsError" in index
        picky.disarm()
        assert ask(server, "repository/models/picky/load", "{}").status_code == 200
        picky.arm()
        assert ask(server, "repository/models/picky/load", "{}").status_code == 400
        for path in ("models/picky/ready", "health/ready"):
            assert {status for status, _ in from_anyone(server, path)} == {200}
        (repository / "other" / "1" / "model.onnx").write_bytes(b"no model")  # fails in the first worker already
        assert ask(server, "repository/models/other/load", "{}").status_code == 400
        ((_, index),) = from_anyone(server, "repository/index", "{}")
        assert '{"name":"other","version":"1","state":"UNAVAILABLE","reason":"' in index
        assert {status for status, _ in from_anyone(server, "health/ready")} == {400}


def test_what_one_worker_cannot_load_at_the_start_is_served_by_none(tmp_path: Path, repository: Path):
    Picky(tmp_path, repository).arm()
    with two_workers("--model-repository", repository, "--exit-on-error=false") as server:
        assert re.search(r"^picky +1 +UNAVAILABLE: ", server.output, re.MULTILINE)
        assert {status for status, _ in from_anyone(server, "models/picky/ready")} == {400}
        assert {status for status, _ in from_anyone(server, "models/identity/ready")} == {200}
        _, errors = server.end()
    assert re.search(r"'picky' is served by no worker: .*1 of 2 workers could", errors)


def test_a_new_worker_that_cannot_load_what_others_have_does_not_take_part(repository: Path):
    with two_workers("--model-repository", repository) as server:
        (repository / "other" / "1" / "model.onnx").write_bytes(b"no model")
        before = {worker.pid for worker in workers(server)}
        server.process.send_signal(signal.SIGHUP)
        line = next(line for line in iter(server.process.stderr.readline, "") if "reloaded" in line)
        assert "not reloaded: " in line
        assert "it could not load 'other', which others have: " in line
        assert {worker.pid for worker in workers(server)} >= before
        workers(server)[0].kill()
        line = next(line for line in iter(server.process.stderr.readline, "") if "cannot start" in line)
        assert "it could not load 'other', which others have: " in line
        for _ in range(SEVERAL):
            assert ask(server, "models/other/infer", BODY).status_code == 200


def test_a_worker_that_has_stopped_holds_up_neither_statistics_nor_metrics(repository: Path):
    with (
        two_workers("--model-repository", repository, "--exit-timeout-secs=0") as server,
        httpx.Client(timeout=PATIENCE) as mine,
    ):
        worker = worker_of(server, mine)
        assert mine.post(f"http://{server.url('HTTP')}/v2/models/identity/infer", content=BODY).status_code == 200
        assert scraped(server, "nv_inference_count") == 1
        (other,) = [one for one in workers(server) if one != worker]
        other.suspend()
        for _ in range(3):
            statistics = mine.get(f"http://{server.url('HTTP')}/v2/models/identity/stats").json()
            assert statistics["model_stats"][0]["inference_count"] == 1
            assert scraped(server, "nv_inference_count") == 1


def worker_of(server: Serving, client: httpx.Client) -> psutil.Process:
    """The one that has a client's connection."""
    answer = client.get(f"http://{server.url('HTTP')}/v2/health/live")
    here = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
    (worker,) = [
        worker
        for worker in workers(server)
        if any(one.raddr and one.raddr.port == here for one in worker.net_connections("tcp"))
    ]
    return worker


def test_a_new_worker_has_the_configuration_that_was_given_until_the_folder_changes(repository: Path):
    def replaced() -> None:
        before = {worker.pid for worker in workers(server)}
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(workers(server)) == 2 and before.isdisjoint(one.pid for one in workers(server)))

    def batch_sizes() -> set[int]:
        return {ask(server, "models/identity/config").json()["max_batch_size"] for _ in range(SEVERAL)}

    with two_workers("--model-repository", repository, "--model-control-mode=explicit") as server:
        config = '{"parameters": {"config": "{\\"backend\\": \\"onnxruntime\\", \\"max_batch_size\\": 5}"}}'
        for body in (config, "{}"):  # the second one changes nothing, as in one process
            assert ask(server, "repository/models/identity/load", body).status_code == 200
        replaced()
        assert batch_sizes() == {5}
        (repository / "identity" / "config.pbtxt").write_text('backend: "onnxruntime" max_batch_size: 3')
        assert ask(server, "repository/models/identity/load", "{}").status_code == 200
        replaced()
        assert batch_sizes() == {3}


def test_a_sequence_goes_on_where_its_connection_is_and_never_in_another_worker(tmp_path: Path):
    write_model(tmp_path, "sums", sequence_models.sums(), sequence_models.sums_config())

    def add(client: httpx.Client, value: int, **controls: object) -> tuple[int, str]:
        tensor = {"name": "INPUT", "shape": [1, 1], "datatype": "INT32", "data": [value]}
        request = {"parameters": {"sequence_id": 7, **controls}, "inputs": [tensor], "outputs": [{"name": "OUTPUT"}]}
        answer = client.post(f"http://{server.url('HTTP')}/v2/models/sums/infer", json=request)
        return answer.status_code, answer.text

    with two_workers("--model-repository", tmp_path) as server, httpx.Client(timeout=PATIENCE) as same:
        assert add(same, 1, sequence_start=True)[0] == 200
        total, refused = 1, 0
        for _ in range(SEVERAL):
            with httpx.Client(timeout=PATIENCE) as other:
                status, text = add(other, 1)
            if status == 200:  # the same worker by chance
                total += 1
                assert f'"data":[{total}]' in text
            else:
                refused += 1
                assert "must specify the START flag" in text
            total += 1
            assert f'"data":[{total}]' in add(same, 1)[1]
        assert refused > 0
