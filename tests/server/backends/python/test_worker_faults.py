"""What models do to their processes that nobody planned for: none of it may reach beyond the model."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from decoupled_python_models import FLOOD, FLOOD_CONFIG
from python_models import IDENTITY, IDENTITY_CONFIG, REPEAT_CONFIG, write_python_model
from tcli_server.backends.python import backend
from tcli_server.backends.python.instance import PythonInstance
from tcli_server.backends.python.process import WorkerProcess
from tcli_server.backends.python.stub.errors import TritonModelException
from tcli_server.backends.python.stub.memory import WrittenMemory
from tcli_server.backends.python.stub.responses import checked_parameters
from tcli_server.backends.python.stub.wire import Message
from tcli_server.engine import Engine
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.options import EngineOptions
from tcli_server.request import InferenceRequest, InferenceResponse
from waiting import PATIENCE, until

X = {"INPUT0": np.arange(4, dtype=np.float32)}
ONE = {"IN": np.array([1], np.int32)}


def instance_of(engine: Engine, name: str = "m") -> PythonInstance:
    instance = engine.model(name).instances[0].instance
    assert isinstance(instance, PythonInstance)
    return instance


def pid_of(engine: Engine) -> int:
    return instance_of(engine)._supervisor.process._process.pid


def is_gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def done(work: Callable[[], object]) -> bool:
    """Whether it comes to an end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return not thread.is_alive()


def test_a_worker_that_reads_nothing_holds_up_nobody_who_tells_it_something(tmp_path: Path):
    code = """
    class TritonPythonModel:
        def initialize(self, args):
            self.senders = []

        def execute(self, requests):
            for request in requests:
                sender = request.get_response_sender()
                if request.request_id() != "ask":
                    self.senders.append(sender)
                    continue
                gone = sum(each.is_cancelled() for each in self.senders)
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([gone], np.int32))]))
                sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    """
    write_python_model(tmp_path, "m", code, REPEAT_CONFIG)
    with Engine(tmp_path) as engine:
        requests = [InferenceRequest("m", ONE, takes_many=True) for _ in range(3000)]
        for request in requests:
            engine.submit(request)
        until(lambda: len(instance_of(engine)._open) == 3000)
        pid = pid_of(engine)
        os.kill(pid, signal.SIGSTOP)
        try:
            assert done(lambda: [request.cancel() for request in requests])
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: [int(r.outputs["OUT"][0]) for r in engine.infer_stream("m", ONE, request_id="ask")] == [3000])
        os.kill(pid, signal.SIGKILL)  # it never ends the requests


FORKING = """
import os
import sys
import threading
import time


class TritonPythonModel:
    def initialize(self, args):
        if os.fork() == 0:
            time.sleep(1000)
        self.senders = []

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            if request.request_id() == "fork":
                if os.fork() == 0:
                    sys.exit(0)
                os.wait()
            threading.Thread(target=self.answer, args=(sender,)).start()

    def answer(self, sender):
        sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([os.getpid()], np.int32))]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_end_of_a_worker_is_seen_while_its_children_live_and_is_theirs(tmp_path: Path):
    write_python_model(tmp_path, "m", FORKING, REPEAT_CONFIG)
    with Engine(tmp_path) as engine:
        first = pid_of(engine)
        (child,) = children_of(first)
        os.kill(first, signal.SIGKILL)
        until(lambda: instance_of(engine).restarts == 1 and engine.model_ready("m"))
        until(lambda: is_gone(child))
        second = pid_of(engine)
        (child,) = children_of(second)
        assert [int(r.outputs["OUT"][0]) for r in engine.infer_stream("m", ONE)] == [second]
    until(lambda: is_gone(second) and is_gone(child))


def test_a_forked_child_does_not_speak_for_its_parent(tmp_path: Path):
    write_python_model(tmp_path, "m", FORKING, REPEAT_CONFIG)
    with Engine(tmp_path) as engine:
        for _ in range(3):
            responses = list(engine.infer_stream("m", ONE, request_id="fork"))
            assert [int(response.outputs["OUT"][0]) for response in responses] == [pid_of(engine)]
        assert engine.statistics("m").model_stats[0].inference_stats.fail.count == 0


def test_a_coroutine_that_exits_ends_its_process_and_one_that_is_cancelled_its_request(tmp_path: Path):
    code = """
    import asyncio
    import sys


    class TritonPythonModel:
        async def execute(self, requests):
            for request in requests:
                await asyncio.sleep(0)
                what = request.request_id()
                if what == "exit":
                    sys.exit(4)
                if what == "cancelled":
                    raise asyncio.CancelledError
                sender = request.get_response_sender()
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([7], np.int32))]))
                sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    """
    write_python_model(tmp_path, "m", code, REPEAT_CONFIG)

    def ask(what: str) -> list[int]:
        return [int(response.outputs["OUT"][0]) for response in engine.infer_stream("m", ONE, request_id=what)]

    with Engine(tmp_path) as engine:
        assert ask("") == [7]
        with pytest.raises(InternalError, match=r"CancelledError: , at .*model[.]py"):
            ask("cancelled")
        with pytest.raises(InternalError, match="ended with status 4"):
            ask("exit")
        assert ask("") == [7]


def test_what_a_decoupled_model_has_begun_is_not_run_again(tmp_path: Path):
    code = """
    import os


    class TritonPythonModel:
        def initialize(self, args):
            self.senders = []

        def execute(self, requests):
            for request in requests:
                sender, what = request.get_response_sender(), request.request_id()
                if what == "exit":
                    os._exit(3)
                if what == "keep":
                    sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([7], np.int32))]))
                    self.senders.append(sender)
                else:
                    sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    """
    write_python_model(tmp_path, "m", code, REPEAT_CONFIG)
    with Engine(tmp_path) as engine:
        warm = [InferenceRequest("m", ONE, takes_many=True) for _ in range(2000)]  # they learn to go together
        for request in warm:
            engine.submit(request)
        until(lambda: all(request.ended for request in warm))
        got: dict[str, list[InferenceResponse]] = {"a": [], "b": [], "exit": []}
        asked = [
            InferenceRequest("m", ONE, id=what, takes_many=True, reply=got[name].append)
            for name, what in (("a", "keep"), ("b", "keep"), ("exit", "exit"))
        ]
        for request in asked:
            engine.submit(request)
        until(lambda: all(request.ended for request in asked))
        for name in ("a", "b"):
            assert [response.error is None for response in got[name]] == [True, False]


def test_a_replacement_that_hangs_while_it_loads_ends_with_the_model(tmp_path: Path):
    code = """
    import os
    import time


    class TritonPythonModel:
        def initialize(self, args):
            marker = os.path.join(args["model_repository"], "started")
            if os.path.exists(marker):
                open(marker, "w").write(str(os.getpid()))
                time.sleep(1000)
            open(marker, "w").close()

        def execute(self, requests):
            os._exit(1)
    """
    write_python_model(tmp_path, "m", code)
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")) as engine:
        engine.load("m")
        with pytest.raises(InternalError):
            engine.infer("m", X)
        marker = tmp_path / "m" / "started"
        until(lambda: marker.read_text() != "")
        engine.unload("m")
        until(lambda: is_gone(int(marker.read_text())))


class Brief(WorkerProcess):
    """A worker that is gone before anybody knows that it has loaded its model."""

    def end_order(self, timeout: float | None = None) -> Message:
        reply = super().end_order(timeout)
        self.kill()
        until(lambda: not self._listener.is_alive())
        return reply


def test_a_worker_that_dies_as_soon_as_it_has_loaded_is_not_taken_for_a_living_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(backend, "WorkerProcess", Brief)
    write_python_model(tmp_path, "m", IDENTITY)
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")) as engine:
        loading = engine.begin_load("m")
        with pytest.raises(ServerError, match="ended by SIGKILL"):
            loading.result(PATIENCE)


@pytest.mark.own_process  # the limit is the whole process's
def test_a_worker_is_replaced_even_if_that_fails_at_first_for_want_of_descriptors(tmp_path: Path):
    resource = pytest.importorskip("resource")
    write_python_model(tmp_path, "m", IDENTITY)
    with Engine(tmp_path) as engine:
        supervisor = instance_of(engine)._supervisor
        _, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # none are opened from now on
        try:
            os.kill(pid_of(engine), signal.SIGKILL)
            until(lambda: supervisor.failing != "")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert "Too many open files" in supervisor.failing
        until(lambda: engine.model_ready("m"))
        assert engine.infer("m", X).outputs["OUTPUT0"].tolist() == [0, 1, 2, 3]


def test_many_may_ask_at_once_whether_a_model_is_ready_that_does_not_say(tmp_path: Path):
    code = """
    import time


    class TritonPythonModel:
        def is_ready(self):
            time.sleep(1000)

        def execute(self, requests):
            return []
    """
    write_python_model(tmp_path, "m", code)
    with Engine(tmp_path) as engine:
        before = threading.active_count()
        answers = [engine.begin_model_ready("m") for _ in range(500)]
        assert threading.active_count() <= before + 1
        time.sleep(0.1)
        answers.append(engine.begin_model_ready("m"))
        assert not any(answer.result(PATIENCE) for answer in answers)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("raise SystemExit('bye')", "ended with status 1; its last words: bye"),
        ("raise SystemExit", "ended with status 0"),
        ("raise KeyboardInterrupt", "ended with status 1; .*KeyboardInterrupt"),
    ],
)
def test_a_model_that_exits_says_so_and_costs_those_behind_it_nothing(tmp_path: Path, statement: str, words: str):
    code = f"""
    class TritonPythonModel:
        def execute(self, requests):
            if requests[0].request_id() == "exit":
                {statement}
            return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", np.zeros(1, np.float32))]) for _ in requests]
    """
    write_python_model(tmp_path, "m", code)
    with Engine(tmp_path) as engine:
        warm = [InferenceRequest("m", X) for _ in range(1000)]  # they learn to go together
        for request in warm:
            engine.submit(request)
        until(lambda: all(request.ended for request in warm))
        got: list[InferenceResponse] = []
        for what in ("exit", "", "", ""):
            engine.submit(InferenceRequest("m", X, id=what, reply=got.append))
        until(lambda: len(got) == 4)
        assert sorted(response.error is None for response in got) == [False, True, True, True]
        (error,) = [response.error for response in got if response.error is not None]
        assert re.search(words, str(error))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"a": 2**64}, r"fit into 64 bits, found 18446744073709551616 for 'a'"),
        ({"a": "\ud800"}, "'a' is no text that UTF-8 has"),
        ({"\ud800": 1}, "is no text that UTF-8 has"),
    ],
)
def test_parameters_that_cannot_travel_are_refused_where_the_model_says_them(given: dict, words: str):
    with pytest.raises(TritonModelException, match=words):
        checked_parameters(given)


def test_an_exception_without_a_text_is_told_of_by_its_name(tmp_path: Path):
    code = """
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no")


    class TritonPythonModel:
        def execute(self, requests):
            raise Mute
    """
    write_python_model(tmp_path, "m", code)
    with Engine(tmp_path) as engine:
        with pytest.raises(InternalError, match=r"Mute: <its __str__ failed>, at .*model[.]py"):
            engine.infer("m", X)
        assert instance_of(engine).restarts == 0


def test_a_model_does_not_wait_for_itself_to_be_loaded(tmp_path: Path):
    code = """
    class TritonPythonModel:
        def initialize(self, args):
            pb_utils.load_model("m")

        def execute(self, requests):
            return []
    """
    write_python_model(tmp_path, "m", code)
    with Engine(tmp_path, options=EngineOptions(model_control_mode="explicit")) as engine:
        loading = engine.begin_load("m")
        with pytest.raises(InvalidArgumentError, match="'m' is being loaded, and would wait for itself"):
            loading.result(PATIENCE)


class Dying(WorkerProcess):
    """A worker that ends when it has answered an order, and whose end is known before the answer is looked at."""

    def end_order(self, timeout: float | None = None) -> Message:
        reply = super().end_order(timeout)
        if "answers" in reply:
            self.kill()
            until(lambda: self.over and not self.alive)
            self._listener.join(PATIENCE)
        return reply


def test_a_worker_that_dies_after_its_reply_fails_what_it_would_have_answered_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code = """
    class TritonPythonModel:
        def execute(self, requests):
            self.senders = [request.get_response_sender() for request in requests]
    """
    monkeypatch.setattr(backend, "WorkerProcess", Dying)
    write_python_model(tmp_path, "m", code, REPEAT_CONFIG)
    with Engine(tmp_path) as engine:
        got: list[InferenceResponse] = []
        engine.submit(InferenceRequest("m", ONE, takes_many=True, reply=got.append))
        until(lambda: bool(got))
        assert isinstance(got[0].error, InternalError)


def test_responses_of_other_models_that_nobody_looks_at_keep_no_memory(tmp_path: Path):
    code = """
    class TritonPythonModel:
        def execute(self, requests):
            tensor = pb_utils.Tensor("IN", np.array([1, 250_000], np.int32))
            for _ in range(40):
                pb_utils.InferenceRequest(model_name="flood", inputs=[tensor], requested_output_names=["OUT"]).exec(
                    decoupled=True
                )
            return [pb_utils.InferenceResponse([pb_utils.get_input_tensor_by_name(r, "INPUT0")]) for r in requests]
    """
    write_python_model(tmp_path, "m", code, IDENTITY_CONFIG.replace("OUTPUT0", "INPUT0"))
    write_python_model(tmp_path, "flood", FLOOD, FLOOD_CONFIG)
    with Engine(tmp_path) as engine:
        for _ in range(3):
            engine.infer("m", X)
        assert instance_of(engine)._supervisor.process.requests.size <= 8 << 20  # of 120 MB that came


def test_memory_is_not_looked_for_behind_a_number_that_is_another_file_s():
    descriptor = os.memfd_create("first")
    memory = WrittenMemory(descriptor, 1 << 30)
    memory.forget()
    os.close(descriptor)
    other = os.memfd_create("other")
    try:
        assert other == descriptor
        with pytest.raises(OSError, match="Bad file descriptor"):
            memory.take(10 << 20)
        assert os.fstat(other).st_size == 0
    finally:
        os.close(other)


def test_a_request_that_cannot_be_told_of_leaves_nothing_in_the_memory(tmp_path: Path):
    write_python_model(tmp_path, "m", IDENTITY)
    large = {"INPUT0": np.zeros(500_000, np.float32)}
    with Engine(tmp_path) as engine:
        for _ in range(10):
            with pytest.raises(InternalError, match="not JSON serializable"):
                engine.infer("m", large, parameters={"a": object()})
        assert instance_of(engine)._supervisor.process.requests.size <= 8 << 20
        assert engine.infer("m", X).outputs["OUTPUT0"].tolist() == [0, 1, 2, 3]
