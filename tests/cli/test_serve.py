"""`tcli serve` as a user runs it: a process, its output, its signals and its exit status."""

import contextlib
import ctypes
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import trustme

import onnx_models
from repositories import write_model
from serve_command import FREE_PORTS, PATIENCE, Serving, serve, serving
from waiting import until

ONE_AT_A_TIME = 'backend: "onnxruntime" max_batch_size: 1'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "identity", onnx_models.identity())
    write_model(tmp_path / "models", "other", onnx_models.identity())
    return tmp_path / "models"


def test_start_shows_models_and_addresses_and_sigterm_ends_it(repository: Path):
    with serving("--model-repository", repository) as server:
        lines = server.output.splitlines()
        assert [line.split() for line in lines[:3]] == [
            ["Model", "Version", "Status"],
            ["identity", "1", "READY"],
            ["other", "1", "READY"],
        ]
        assert httpx.get(f"http://{server.url('HTTP')}/v2/health/ready").status_code == 200
        assert triton.InferenceServerClient(server.url("gRPC")).is_server_ready()
        assert "nv_inference_count" in httpx.get(f"http://{server.url('Metrics')}/metrics").text
        status, errors = server.end()
    assert status == 0
    assert "Signal (15) received." in errors
    assert re.search(r"^I\d{4} [\d:.]+ \d+ serving\] Started HTTPService at 127\.0\.0\.1:\d+$", errors, re.MULTILINE)


def test_ctrl_c_ends_it_too(repository: Path):
    with serving("--model-repository", repository) as server:
        status, errors = server.end(signal.SIGINT)
    assert status == 0
    assert "Signal (2) received." in errors
    assert "Traceback" not in errors


def test_requests_in_flight_are_answered_and_a_second_signal_changes_nothing(tmp_path: Path):
    write_model(tmp_path, "slow", onnx_models.slow_identity(rounds=3000), ONE_AT_A_TIME)
    with serving("--model-repository", tmp_path) as server:
        answers: list[object] = []

        def ask() -> None:
            with triton.InferenceServerClient(server.url("gRPC")) as client:
                tensor = triton.InferInput("INPUT0", [1, 4], "FP32")
                tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
                answers.append(client.infer("slow", [tensor]).as_numpy("OUTPUT0").tolist())

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        metrics = f"http://{server.url('Metrics')}/metrics"
        deadline = time.monotonic() + PATIENCE
        while not re.search(r"nv_inference_pending_request_count\S+ 2\n", httpx.get(metrics).text):
            assert time.monotonic() < deadline
        server.process.send_signal(signal.SIGHUP)  # its terminal closes
        status, errors = server.end()
        for client in clients:
            client.join(PATIENCE)
    assert (status, answers) == (0, [[[1.0] * 4]] * 3)
    assert errors.count("Signal") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="a signal to one thread")
def test_a_signal_that_another_thread_gets_ends_it_too(repository: Path):
    # As one that comes just before the main thread begins to wait, of which that is not told either.
    with serving("--model-repository", repository) as server:
        httpx.get(f"http://{server.url('HTTP')}/v2/health/ready")
        number = server.process.pid
        other = max(int(thread.name) for thread in Path(f"/proc/{number}/task").iterdir())
        assert ctypes.CDLL(None).tgkill(number, other, signal.SIGTERM) == 0
        _, errors = server.process.communicate(timeout=PATIENCE)
    assert (server.process.returncode, errors.count("Signal")) == (0, 1)


def test_it_outlives_who_reads_its_output_and_under_nohup_its_terminal(repository: Path):
    nobody, output = os.pipe()
    os.close(nobody)
    command = ["nohup", sys.executable, "-m", "triton_cli", "serve", *FREE_PORTS, "--model-repository", str(repository)]
    with subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True) as process:
        os.close(output)
        try:
            started = (re.search(r"Started HTTPService at (\S+)", line) for line in process.stderr)
            address = next(found[1] for found in started if found)
            process.send_signal(signal.SIGHUP)
            assert httpx.get(f"http://{address}/v2/health/ready").status_code == 200
            process.terminate()
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Signal (1)" not in errors


@pytest.mark.parametrize("workers", [1, 2])
def test_a_replica_with_a_shutdown_delay_loses_no_request(repository: Path, workers: int):
    options = ("--shutdown-delay-secs", 0.2, "--workers", workers, "--exit-timeout-secs", 600, "--grpc-reflection=true")
    questions: SimpleQueue[bytes] = SimpleQueue()
    with (
        serving("--model-repository", repository, *options) as server,
        grpc.insecure_channel(server.url("gRPC")) as channel,
    ):
        # Neither ends by itself, and no withdrawal waits for them.
        health = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        assert next(health) == b"\x08\x01"
        reflection = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")(
            iter(questions.get, b"")
        )
        questions.put(b"\x3a\x01*")  # what services there are
        next(reflection)
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1.0] * 4}
        seen: list[httpx.Response] = []
        hooks = {"response": [seen.append]}
        with httpx.Client(base_url=f"http://{server.url('HTTP')}", timeout=PATIENCE, event_hooks=hooks) as http:
            server.process.send_signal(signal.SIGTERM)
            until(lambda: http.get("/v2/health/ready").status_code == 400)
            answers = []
            with contextlib.suppress(
                httpx.TransportError
            ):  # the port closes behind the last answer on the last connection
                while True:
                    answers.append(http.post("/v2/models/identity/infer", json={"inputs": [tensor]}).status_code)
        assert set(answers) <= {200}
        assert seen[-1].headers["connection"] == "close"
        status, _ = server.end()
        questions.put(b"")
    assert status == 0


def test_nothing_is_awaited_with_an_exit_timeout_of_0(tmp_path: Path):
    write_model(tmp_path, "slow", onnx_models.slow_identity(rounds=10_000), ONE_AT_A_TIME)
    with serving("--model-repository", tmp_path, "--exit-timeout-secs", 0) as server:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1.0] * 4}

        def ask() -> None:
            with pytest.raises(httpx.TransportError):
                httpx.post(
                    f"http://{server.url('HTTP')}/v2/models/slow/infer", json={"inputs": [tensor]}, timeout=PATIENCE
                )

        client = threading.Thread(target=ask)
        client.start()
        second = threading.Thread(target=ask)
        second.start()
        deadline = time.monotonic() + PATIENCE
        while not re.search(
            r"nv_inference_pending_request_count\S+ 1\n", httpx.get(f"http://{server.url('Metrics')}/metrics").text
        ):
            assert time.monotonic() < deadline
        status, errors = server.end()
        client.join(PATIENCE)
        second.join(PATIENCE)
    assert status == 1
    assert "Exit timeout expired. Exiting immediately." in errors


@pytest.mark.parametrize(("option", "sent", "status"), [
    ("--http-max-body-size=1000", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", b"413"),
    ("--http-head-timeout-secs=0.2", b"GET / HTTP/1.1\r\n", b"408"),
    ("--http-body-timeout-secs=0.2", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", b"408"),
    ("--http-idle-timeout-secs=0.2", b"", b""),
])  # fmt: skip
def test_what_one_client_may_cost(repository: Path, option: str, sent: bytes, status: bytes):
    with (
        serving("--model-repository", repository, option) as server,
        socket.create_connection(("127.0.0.1", server.ports["HTTP"]), timeout=25) as client,  # defaults are 30 and more
    ):
        client.sendall(sent)
        assert client.recv(1000)[9:12] == status


def test_how_many_connections_there_may_be(repository: Path):
    with serving("--model-repository", repository, "--http-max-connections=1") as server:
        url = f"http://{server.url('HTTP')}/v2/health/live"
        with httpx.Client() as first:
            assert first.get(url).status_code == 200
            assert httpx.get(url).status_code == 503
            assert first.get(url).status_code == 200


def test_an_idle_server_needs_no_time_to_end(repository: Path):
    with serving("--model-repository", repository, "--exit-timeout-secs", 0) as server:
        status, errors = server.end()
    assert (status, "expired" in errors) == (0, False)


def test_a_load_that_goes_on_neither_holds_the_end_nor_survives_it(repository: Path):
    write_model(repository, "endless", onnx_models.endless_to_load())
    on_demand = ("--model-repository", repository, "--model-control-mode=explicit", "--exit-timeout-secs=3600")
    with serving(*on_demand) as server, ThreadPoolExecutor(1) as pool:
        base = f"http://{server.url('HTTP')}/v2/repository"
        load = pool.submit(httpx.post, f"{base}/models/endless/load", json={}, timeout=3 * PATIENCE)
        # The load takes all cores.
        until(lambda: "LOADING" in httpx.post(f"{base}/index", timeout=PATIENCE).text, "it does not load")
        status, errors = server.end()
        answer = load.result()
    assert (status, "expired" in errors, "Traceback" in errors) == (0, False, False)
    assert (answer.status_code, answer.json()["error"]) == (503, "Server exiting")


def test_pushed_models_leave_nothing_behind_not_even_when_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "models").mkdir()
    on_demand = ("--model-repository", tmp_path / "models", "--model-control-mode=explicit")

    def push(server: Serving) -> None:
        with triton.InferenceServerClient(server.url("gRPC")) as client:
            client.load_model(
                "pushed", config='{"backend": "onnxruntime"}', files={"file:1/model.onnx": onnx_models.identity()}
            )
            assert client.is_model_ready("pushed")

    def folders() -> list[str]:
        return [path.name for path in (tmp_path / "tmp").glob("tcli-*")]

    with serving(*on_demand) as living, serving(*on_demand) as killed:
        push(living)
        push(killed)
        assert len(folders()) == 2
        killed.process.kill()
        killed.process.wait(PATIENCE)
        assert len(folders()) == 2
        with serving(*on_demand):
            assert len(folders()) == 1  # the living server's
        assert living.end()[0] == 0
    assert folders() == []


def test_models_on_demand(repository: Path):
    with serving("--model-repository", repository, "--model-control-mode=explicit", "--load-model", "other") as server:
        assert "identity" not in server.output
        with triton.InferenceServerClient(server.url("gRPC")) as client:
            assert client.is_model_ready("other")
            client.load_model("identity")
            assert client.is_model_ready("identity")


def test_models_of_the_same_name_in_two_repositories(repository: Path, tmp_path: Path):
    write_model(tmp_path / "more", "identity", onnx_models.identity())
    places = ("--model-repository", repository, "--model-repository", tmp_path / "more")
    with serving(*places, "--model-namespacing=true", "--model-control-mode=POLL") as server:
        rows = [line.split() for line in server.output.splitlines()[1:4]]
        assert rows == [["identity", "1", "READY"]] * 2 + [["other", "1", "READY"]]
        assert httpx.get(f"http://{server.url('HTTP')}/v2/health/ready").status_code == 200
        metrics = httpx.get(f"http://{server.url('Metrics')}/metrics").text
        assert f'nv_inference_count{{model="identity",namespace="{tmp_path / "more"}",version="1"}} 0' in metrics
    done = serve(*places, *FREE_PORTS)
    assert done.returncode == 1
    assert "failed to load all models: identity" in done.stderr


def test_a_placeholder_is_said_in_one_line(tmp_path: Path):
    config = 'backend: "onnxruntime" parameters { key: "tcli_placeholder" value { string_value: "random weights" } }'
    write_model(tmp_path, "standin", onnx_models.identity(), config)
    with serving("--model-repository", tmp_path) as server:
        assert len([line for line in server.output.splitlines() if "standin has placeholder weights" in line]) == 1


SWITCHES = [("--allow-grpc=false",), ("--allow-grpc", "False"), ("--allow-grpc=OFF",), ("--allow-grpc", "0")]


@pytest.mark.parametrize("spelling", SWITCHES, ids=" ".join)
def test_switches_take_triton_s_spellings(repository: Path, spelling: tuple[str, ...]):
    with serving("--model-repository", repository, *spelling, "--allow-metrics", "--log-info=0") as server:
        assert set(server.ports) == {"HTTP", "Metrics"}
        assert server.end()[1] == "Signal (15) received.\n"


def test_a_log_file_takes_the_log(repository: Path, tmp_path: Path):
    file = tmp_path / "log"
    with serving("--model-store", repository, "--log-file", file, "--log-format=ISO8601", "--log-verbose=1") as server:
        _, errors = server.end()
    assert "Started" not in errors
    assert re.search(r"^\d{4}-.*Z I \d+ serving\] identity version 1 loaded in", file.read_text(), re.MULTILINE)


@pytest.mark.parametrize("mode", ["none", "poll"])
def test_a_broken_model_stops_the_start_with_its_reason(repository: Path, mode: str):
    write_model(repository, "broken", b"no model")
    done = serve(*FREE_PORTS, "--model-repository", repository, "--model-control-mode", mode)
    assert done.returncode == 1
    assert re.search(r"^broken .*UNAVAILABLE: .*model\.onnx", done.stdout, re.MULTILINE)
    assert "error: failed to load all models: broken" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_model_does_not_stop_it_where_that_is_asked(repository: Path):
    write_model(repository, "broken", b"no model")
    with serving("--model-repository", repository, "--exit-on-error=false") as server:
        assert httpx.get(f"http://{server.url('HTTP')}/v2/health/ready").status_code == 400
        assert httpx.get(f"http://{server.url('HTTP')}/v2/models/identity/ready").status_code == 200
    with serving("--model-repository", repository, "--exit-on-error=false", "--strict-readiness=false") as server:
        assert httpx.get(f"http://{server.url('HTTP')}/v2/health/ready").status_code == 200


def test_a_port_in_use_is_one_clear_message(repository: Path):
    with serving("--model-repository", repository) as server:
        port = server.ports["HTTP"]
        done = serve(*FREE_PORTS, "--model-repository", repository, f"--http-port={port}")
    assert done.returncode == 1
    assert done.stderr == f"error: port {port} on 127.0.0.1 is in use by another program; fix: --http-port\n"


def test_mistakes_are_told_in_a_line_or_two(repository: Path):
    mistakes = {
        (): "model repository 'model_repository' does not exist",
        ("--model-repository", "nowhere"): "model repository 'nowhere' does not exist",
        ("--model-repository", "s3://bucket/models"): "model repository 's3://bucket/models' is in object storage",
        (
            "--model-repository",
            "models",
            "--model-load-gpu-limit=0:0.5",
        ): "--model-load-gpu-limit is not supported\n  fix: leave it out",
        ("--model-repository", "models", "--allow-vertex-ai"): "AIP_HEALTH_ROUTE in the environment: found nothing",
        ("--model-repository", "models", "--grpc-use-ssl"): "--grpc-server-cert is missing, which gRPC with TLS needs",
        (
            "--model-repository",
            "models",
            "--grpc-use-ssl-mutual",
            "--grpc-server-cert=nowhere",
        ): "--grpc-server-cert: cannot read 'nowhere': No such file or directory; fix:",
        ("--model-repository", "models", "--auth-token-file=nowhere"): "--auth-token-file: cannot read 'nowhere'",
        ("--model-repository", "models", "--http-restricted-api=nope:k=v"): "--http-restricted-api: unknown API 'nope'",
        ("--model-repository", "models", "--load-model=identity"): "--load-model needs --model-control-mode=explicit",
        (
            "--model-repository",
            "models",
            "--model-control-mode=explicit",
            "--load-model=nope",
        ): "failed to load all models: nope",
        (
            "--model-repository",
            "models",
            "--allow-client-shm",
            "--workers=2",
        ): "--allow-client-shm cannot be combined with --workers 2: a region is registered with one process",
        (
            "--model-repository",
            "models",
            "--log-file=nowhere/log",
        ): "--log-file: cannot write 'nowhere/log': there is no",
        (
            "--model-repository",
            "models",
            "--access-log=nowhere/log",
        ): "--access-log: cannot write 'nowhere/log': there is no folder nowhere; fix: name a file in a folder",
    }
    for options, message in mistakes.items():
        done = serve(*FREE_PORTS, *options, cwd=repository.parent)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), options
        lines = [line for line in done.stderr.splitlines() if not re.match(r"[IWE]\d{4} ", line)]
        assert "\n".join(lines).startswith(f"error: {message}"), options


@pytest.mark.parametrize(("option", "message"), [
    ("--allow-http=maybe", "'maybe' is not one of"),
    ("--frobnicate", "No such option"),
    ("--log-format=xml", "'xml' is not one of default, ISO8601"),
    ("--metrics-config=summary_latencies=perhaps", "expected true or false"),
    ("--backend-config=x", "expected BACKEND,KEY=VALUE"),
    ("--exit-timeout-secs=-1", "--exit-timeout-secs"),
])  # fmt: skip
def test_wrong_usage_exits_with_2(option: str, message: str):
    done = serve(option)
    assert done.returncode == 2
    assert message in done.stderr


def test_tls_is_what_the_files_say_and_files_that_do_not_count_are_warned_of(repository: Path, tmp_path: Path):
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made.cert_chain_pems[0].write_to_path(cert)
    made.private_key_pem.write_to_path(key)
    root = authority.cert_pem.bytes()
    files = (f"--grpc-server-cert={cert}", f"--grpc-server-key={key}", f"--grpc-root-cert={key}")
    tokens = tmp_path / "tokens"
    tokens.write_text("all all a-token-of-some-length\n")
    http = ("--http-use-ssl", f"--http-server-cert={cert}", f"--http-server-key={key}", f"--auth-token-file={tokens}")
    with serving("--model-repository", repository, "--grpc-use-ssl", *files, *http) as server:
        trusting = ssl.create_default_context(cadata=root.decode())
        found = [
            httpx.get(
                f"https://{server.url('HTTP')}/v2", headers=headers, verify=trusting, timeout=PATIENCE
            ).status_code
            for headers in ({}, {"Authorization": "Bearer a-token-of-some-length"})
        ]
        assert found == [401, 200]
        with grpc.secure_channel(server.url("gRPC"), grpc.ssl_channel_credentials(root)) as channel:
            assert channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=PATIENCE)
        _, errors = server.end()
    assert re.findall(r"^warning: (--[a-z-]+)", errors, re.MULTILINE) == ["--grpc-root-cert"]
    with serving("--model-repository", repository, *files) as server:
        with grpc.insecure_channel(server.url("gRPC")) as channel:
            assert channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=PATIENCE)
        _, errors = server.end()
    warned = re.findall(r"^warning: (--[a-z-]+) has no effect here", errors, re.MULTILINE)
    assert warned == ["--grpc-root-cert", "--grpc-server-cert", "--grpc-server-key"]


def test_help_has_examples_and_groups():
    done = serve("--help")
    assert done.returncode == 0
    for words in ("Examples:", "tcli serve", "Models:", "HTTP:", "gRPC:", "Metrics:", "Log:", "--model-store"):
        assert words in done.stdout


@pytest.mark.parametrize("to_file", [False, True], ids=["stderr", "file"])
def test_what_onnx_runtime_logs_is_in_the_log(tmp_path: Path, to_file: bool):
    write_model(tmp_path / "models", "picky", onnx_models.picky())
    file = tmp_path / "log"
    options = ("--log-file", file) if to_file else ()
    with serving("--model-repository", tmp_path / "models", *options) as server:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 5], "data": [1.0] * 5}
        url = f"http://{server.url('HTTP')}/v2/models/picky/infer"
        assert httpx.post(url, json={"inputs": [tensor]}, timeout=PATIENCE).status_code == 500
        _, errors = server.end()
    log = file.read_text() if to_file else errors
    assert re.search(r"^E\d{4} [\d:.]+ \d+ onnxruntime\] \[.*Add node", log, re.MULTILINE)
    assert "[E:onnxruntime" not in log + errors


LAUNCH_SCRIPT = (
    "--model-store={models} --strict-model-config=false --log-verbose=0 --allow-gpu-metrics=true "
    "--backend-directory=/opt/tritonserver/backends --repoagent-directory /opt/tritonserver/repoagents "
    "--pinned-memory-pool-byte-size=268435456 --cuda-memory-pool-byte-size=0:67108864 "
    "--cuda-memory-pool-byte-size 1:67108864 --min-supported-compute-capability=6.0 --buffer-manager-thread-count=2 "
    "--http-thread-count=16 --grpc-infer-allocation-pool-size=16 --host-policy=gpu_0,numa-node=0 "
    "--backend-config=default-max-batch-size=8 --backend-config=tensorflow,version=2 --exit-timeout-secs=10 "
    "--rate-limit=off --allow-client-shm=false --grpc-use-ssl=false --metrics-interval-ms=1 --model-load-retry-count 0 "
    "--strict-readiness=true --http-address ipv4:127.0.0.1 --id=here"
)


def test_a_launch_script_written_for_tritonserver_starts(repository: Path):
    with serving(*LAUNCH_SCRIPT.format(models=repository).split()) as server:
        base = f"http://{server.url('HTTP')}/v2"
        assert httpx.get(base).json()["name"] == "here"
        assert httpx.get(f"{base}/models/identity/config").json()["max_batch_size"] == 8
        status, errors = server.end()
    assert status == 0
    warned = re.findall(r"^warning: (--[a-z-]+)", errors, re.MULTILINE)
    assert warned == [
        "--strict-model-config", "--repoagent-directory", "--pinned-memory-pool-byte-size",
        "--cuda-memory-pool-byte-size", "--min-supported-compute-capability", "--buffer-manager-thread-count",
        "--http-thread-count", "--grpc-infer-allocation-pool-size", "--host-policy", "--backend-directory", "--backend-config",
    ]  # fmt: skip


def test_the_load_api_can_be_kept_from_taking_what_clients_send(repository: Path):
    on_demand = ("--model-repository", repository, "--model-control-mode=explicit")
    with serving(*on_demand, "--allow-model-control-config=false", "--allow-model-control-files=false") as server:
        load = f"http://{server.url('HTTP')}/v2/repository/models/identity/load"
        refused = httpx.post(load, json={"parameters": {"config": '{"backend": "onnxruntime"}'}})
        assert refused.status_code == 503
        assert "--allow-model-control-config" in refused.json()["error"]
        assert httpx.post(load, json={}).status_code == 200


def test_more_than_the_allowed_bytes_of_input_is_refused(repository: Path):
    write_model(repository, "slow", onnx_models.slow_identity(rounds=3000), ONE_AT_A_TIME)
    with serving("--model-repository", repository, "--max-pending-bytes=20") as server, ThreadPoolExecutor(2) as pool:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": [1.0] * 4}
        url = f"http://{server.url('HTTP')}/v2/models/slow/infer"
        answers = [pool.submit(httpx.post, url, json={"inputs": [tensor]}, timeout=PATIENCE) for _ in range(2)]
        assert sorted(answer.result().status_code for answer in answers) == [200, 503]
