"""What `tcli serve` imports: what the models that it serves need."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import tritonclient.grpc

import onnx_models
from repositories import write_model
from serve_command import FREE_PORTS, PATIENCE, Serving
from triton_cli.app import COMMANDS

PROGRAM = """
import sys
from triton_cli.__main__ import main
try:
    main()
finally:
    print(*sys.modules)
"""
OF_OTHERS = {
    "grpc",
    "httpx",
    "matplotlib",
    "pandas",
    "PIL",
    "rich",
    "tcli_analyzer",
    "tcli_client",
    "tensorrt",
    "torch",
    "yaml",
}
OF_OURS = {
    "apart",
    "backends.openvino.backend",
    "backends.python.backend",
    "models.warmup",
    "proof",
    "protocols.grpc.reflection",
    "scheduling.ensembles.scheduler",
    "scheduling.limits.batcher",
    "scheduling.sequences",
    "workers",
    "zoo",
}


def test_a_served_onnx_model_brings_nothing_of_other_models_commands_and_clients(tmp_path: Path):
    write_model(tmp_path, "echo", onnx_models.identity())
    command = [sys.executable, "-c", PROGRAM, "serve", *FREE_PORTS, f"--model-repository={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            server = Serving(process)
            ask_over_both(server)
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    loaded = set(output.split())
    assert "onnxruntime" in loaded
    assert loaded & OF_OTHERS == set()
    assert loaded & {f"tcli_server.{name}" for name in OF_OURS} == set()
    assert loaded & {f"triton_cli.{name}" for name in COMMANDS} == {"triton_cli.serve"}


def ask_over_both(server: Serving) -> None:
    array = np.ones((1, 4), np.float32)
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 4], "data": array.ravel().tolist()}
    answer = httpx.post(f"http://{server.url('HTTP')}/v2/models/echo/infer", json={"inputs": [tensor]})
    assert answer.json()["outputs"][0]["data"] == [1.0] * 4
    sent = tritonclient.grpc.InferInput("INPUT0", [1, 4], "FP32")
    sent.set_data_from_numpy(array)
    with tritonclient.grpc.InferenceServerClient(server.url("gRPC")) as client:
        assert client.infer("echo", [sent]).as_numpy("OUTPUT0").tolist() == array.tolist()
    assert httpx.get(f"http://{server.url('Metrics')}/metrics").status_code == 200


WITHOUT_GRPC = """
import sys
import tcli_server
from tritonclient.grpc import service_pb2
assert "grpc" not in sys.modules
import tritonclient.grpc
tritonclient.grpc.InferInput("a", [1], "FP32")
assert "grpc" in sys.modules
assert tritonclient.grpc.service_pb2 is service_pb2
import tritonclient.grpc.aio
tritonclient.grpc.missing
"""


def test_nvidias_client_is_whole_for_whoever_asks_for_it_beside_a_server():
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_GRPC], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ran.stderr.splitlines()[-1] == "AttributeError: module 'tritonclient.grpc' has no attribute 'missing'"
