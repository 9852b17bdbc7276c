"""`tcli serve --workers=2` for the tests, asked from outside."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

import onnx_models
from repositories import write_model
from serve_command import PATIENCE, Serving, serving

BODY = '{"inputs": [{"name": "INPUT0", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}'
SEVERAL = 24
"""New connections, enough for both of two workers to get some."""


def write_models(repository: Path) -> Path:
    """`identity` and `other`, which give back what they get."""
    for name in ("identity", "other"):
        write_model(repository, name, onnx_models.identity())
    return repository


@contextmanager
def two_workers(*options: object) -> Iterator[Serving]:
    with serving("--workers=2", *options) as server:
        yield server
        # The workers end by themselves when the supervisor is killed, but the test need not wait for that.
        for worker in workers(server):
            with_pid(worker.kill)


def with_pid(act: Callable[[], object]) -> None:
    with suppress(psutil.NoSuchProcess):
        act()


def workers(server: Serving) -> list[psutil.Process]:
    try:
        return psutil.Process(server.process.pid).children()
    except psutil.NoSuchProcess:
        return []


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(server: Serving, path: str, body: str | None = None) -> httpx.Response:
    """On a connection of its own."""
    url = f"http://{server.url('HTTP')}/v2/{path}"
    with httpx.Client(timeout=PATIENCE, verify=False) as client:  # certificates take longer to read than all else here
        return client.get(url) if body is None else client.post(url, content=body)


def counted(server: Serving, model: str = "identity") -> int:
    return ask(server, f"models/{model}/stats").json()["model_stats"][0]["inference_count"]


def scraped(server: Serving, name: str) -> float:
    text = httpx.get(f"http://{server.url('Metrics')}/metrics", timeout=PATIENCE).text
    found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.]+)$", text, re.MULTILINE)
    assert found, text
    return sum(map(float, found))
