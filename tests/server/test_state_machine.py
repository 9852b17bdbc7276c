"""Whatever is loaded, asked, cancelled and abandoned in whatever order: every request ends once and nothing is left.

A longer run: HYPOTHESIS_PROFILE=long pytest tests/server/test_state_machine.py
"""

import contextlib
import gc
import json
import os
import socket
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import onnx_models
from repositories import write_model
from tcli_server import Engine, EngineOptions, ErrorKind, InferenceRequest, InferenceResponse
from tcli_server.errors import ServerError
from tcli_server.models.model import Model
from tcli_server.serving import ServeOptions, Server
from waiting import until

pytestmark = pytest.mark.long

LOOPBACK = ServeOptions(
    http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0, allow_grpc=False
)
NAMES = st.sampled_from(["fast", "slow", "ordered"])
WIDTH = 4
FAST = onnx_models.identity(shape=("N", WIDTH))
BATCHING = "max_batch_size: 4 dynamic_batching { %s } instance_group { count: 2 kind: KIND_CPU }"
CONFIGS = {
    "fast": BATCHING % "preferred_batch_size: 2 max_queue_delay_microseconds: 2000",
    "ordered": BATCHING % "preserve_ordering: true",
    "slow": BATCHING % "default_queue_policy { max_queue_size: 3 default_timeout_microseconds: 300000 }",
}
OVERRIDES = [None, json.dumps({"max_batch_size": 2, "dynamic_batching": {}}), json.dumps({"max_batch_size": -1})]

settings.register_profile("long", max_examples=400, stateful_step_count=60)


@dataclass(eq=False)
class Asked:
    """A request and all that was answered to it."""

    request: InferenceRequest
    answers: list[InferenceResponse] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self, response: InferenceResponse) -> None:
        self.answers.append(response)
        self.ended.set()


@cache
def warm_up() -> None:
    """What libraries open once and keep must not look like a leak."""
    with tempfile.TemporaryDirectory() as root:
        write_model(Path(root), "fast", FAST)
        with Server(Engine(root), LOOPBACK):
            pass


class Life(RuleBasedStateMachine):
    """One server from its start to its end."""

    @initialize()
    def start(self) -> None:
        warm_up()
        self.stack = contextlib.ExitStack()
        root = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        private = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.stack.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = private  # nobody else's folders come and go there
        write_model(root, "fast", FAST, CONFIGS["fast"])
        write_model(root, "ordered", FAST, CONFIGS["ordered"])
        write_model(root, "slow", onnx_models.slow_identity(), CONFIGS["slow"])
        self.root = root
        self.threads = set(threading.enumerate())
        gc.collect()
        self.descriptors = psutil.Process().num_fds()
        self.engine = Engine(root, options=EngineOptions(model_control_mode="explicit"))
        self.server = Server(self.engine, LOOPBACK)
        self.server.start()
        self.asked: list[Asked] = []
        self.over_http: Counter[int] = Counter()
        self.abandoned = 0
        self.models: set[Model] = set()

    def _remember(self) -> None:
        self.models |= set(self.engine.models())

    @rule(name=NAMES, override=st.sampled_from(OVERRIDES))
    def load(self, name: str, override: str | None) -> None:
        with contextlib.suppress(ServerError):
            self.engine.load(name, override)
        self._remember()

    @rule(name=NAMES)
    def reload(self, name: str) -> None:
        os.utime(self.root / name / "1" / "model.onnx", ns=(time.time_ns(), time.time_ns()))
        self.engine.load(name)
        self._remember()

    @rule(name=NAMES, good=st.booleans())
    def push(self, name: str, good: bool) -> None:
        files = {"1/model.onnx": FAST if good else b"no model"}
        with contextlib.suppress(ServerError):
            self.engine.load(name, json.dumps({"backend": "onnxruntime", "max_batch_size": 4}), files)
        self._remember()

    @rule(name=NAMES)
    def unload(self, name: str) -> None:
        self.engine.unload(name)

    @rule(name=NAMES)
    def begin_both(self, name: str) -> None:
        self.engine.begin_load(name)
        self.engine.begin_unload(name)
        self.engine.begin_load(name).exception(60)
        self._remember()

    @rule(name=NAMES, rows=st.integers(0, 5), count=st.integers(1, 8), bad=st.booleans())
    def ask(self, name: str, rows: int, count: int, bad: bool) -> None:
        for _ in range(count):
            array = np.ones((rows, WIDTH + bad), np.float32)
            asked = Asked(InferenceRequest(name, {"INPUT0": array}))
            asked.request.reply = asked
            self.asked.append(asked)
            self.engine.submit(asked.request)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.asked:
            asked = data.draw(st.sampled_from(self.asked[-8:]))
            asked.request.cancel(only_waiting=data.draw(st.booleans()))

    @rule(name=NAMES, wait=st.booleans(), half=st.booleans())
    def ask_over_http(self, name: str, wait: bool, half: bool) -> None:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, WIDTH], "data": [1.0] * WIDTH}
        body = json.dumps({"inputs": [tensor]}).encode()
        head = f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", self.server.http_port), timeout=60) as client:
            client.sendall(head + (body if wait or not half else body[:10]))
            if wait:
                self.over_http[int(client.recv(65536).split()[1])] += 1
            else:
                self.abandoned += 1

    @invariant()
    def nobody_is_answered_twice(self) -> None:
        for asked in getattr(self, "asked", ()):
            assert len(asked.answers) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        with self.stack:
            assert self.server.shutdown(60) is True
            for asked in self.asked:
                assert asked.ended.wait(60), asked.request.model_name
                assert len(asked.answers) == 1
                assert asked.request.inputs == {}
            assert self.engine._pending.held == 0
            self._check_counters()
            assert list(Path(tempfile.gettempdir()).iterdir()) == []
        until(lambda: not self._left(), "threads are left")
        del self.server, self.engine
        gc.collect()
        until(lambda: psutil.Process().num_fds() <= self.descriptors, "descriptors are left")

    def _left(self) -> list[str]:
        return [thread.name for thread in set(threading.enumerate()) - self.threads if thread.is_alive()]

    def _check_counters(self) -> None:
        kinds = Counter(asked.answers[0].error.kind if asked.answers[0].error else None for asked in self.asked)
        counted = [model.statistics for model in self.models]
        successes = sum(statistics.success_count for statistics in counted)
        told = kinds[None] + self.over_http[200]
        assert told <= successes <= told + self.abandoned
        failures: Counter[str] = Counter()
        for statistics in counted:
            failures.update(statistics.failure_count)
            assert statistics.fail_count == sum(statistics.failure_count.values())
        assert failures["BACKEND"] == 0
        cancelled = kinds[ErrorKind.CANCELLED]
        assert failures["CANCELED"] <= cancelled + self.abandoned


Life.TestCase.settings = settings(
    settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "default")),
    **({} if "HYPOTHESIS_PROFILE" in os.environ else {"max_examples": 7, "stateful_step_count": 25}),
    deadline=None,
    derandomize="HYPOTHESIS_PROFILE" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
TestLife = Life.TestCase
