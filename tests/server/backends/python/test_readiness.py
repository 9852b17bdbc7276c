"""`is_ready` of a Python model, asked over HTTP, gRPC and in Python."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from python_models import IDENTITY, write_python_model
from tcli_server.engine import Engine
from tcli_server.serving import ServeOptions, Server
from waiting import until

SIXTEEN = np.arange(16, dtype=np.float32)


@pytest.mark.parametrize(
    ("is_ready", "ready"),
    [
        ("def is_ready(self): return True", True),
        ("def is_ready(self): return False", False),
        ("async def is_ready(self): return True", True),
        ("def is_ready(self): return 1", False),
        ("def is_ready(self): raise ValueError('not yet')", False),
    ],
)
def test_a_model_has_a_word_on_whether_it_is_ready(tmp_path: Path, is_ready: str, ready: bool):
    write_python_model(tmp_path, "m", f"{IDENTITY}\n    {is_ready}\n")
    options = ServeOptions(
        http_address="127.0.0.1", http_port=0, grpc_address="127.0.0.1", grpc_port=0, allow_metrics=False
    )
    with Engine(tmp_path) as engine, Server(engine, options) as server:
        assert engine.model_ready("m") is ready
        answer = httpx.get(f"http://127.0.0.1:{server.http_port}/v2/models/m/ready")
        assert answer.status_code == (200 if ready else 400)
        with grpcclient.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
            assert client.is_model_ready("m") is ready
        assert engine.ready()  # the server's readiness does not ask
        engine.infer("m", {"INPUT0": SIXTEEN})  # and neither does an inference


def test_callers_share_a_check_and_nobody_else_waits_for_it(tmp_path: Path):
    code = f"""{IDENTITY}
    checks = 0

    def is_ready(self):
        import os
        import time

        type(self).checks += 1
        open(pb_utils.get_model_dir() + "/asked", "w").close()
        while not os.path.exists(pb_utils.get_model_dir() + "/go"):
            time.sleep(0.01)
        return self.checks == 1
"""
    write_python_model(tmp_path, "m", code)
    options = ServeOptions(
        http_address="127.0.0.1", http_port=0, grpc_address="127.0.0.1", grpc_port=0, allow_metrics=False
    )
    with Engine(tmp_path) as engine, Server(engine, options) as server, ThreadPoolExecutor(1) as pool:
        url = f"http://127.0.0.1:{server.http_port}/v2/models"
        settings = pool.submit(httpx.get, f"{url}/m/trace/setting", timeout=60)
        until((tmp_path / "m" / "1" / "asked").exists)
        answers = [engine.begin_model_ready("m") for _ in range(10)]
        assert httpx.get(f"{url}/m/stats", timeout=60).status_code == 200  # no thread waits for the model's word
        assert not settings.done()
        (tmp_path / "m" / "1" / "go").touch()
        assert all(answer.result(60) for answer in answers)
        assert settings.result(60).status_code == 200
        assert not engine.model_ready("m")
