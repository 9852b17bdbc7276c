"""Models that fork processes of their own, which may ask the server as the model does."""

import json
import logging
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from python_models import REPEAT, REPEAT_CONFIG, write_python_model
from tcli_server.engine import Engine
from tcli_server.errors import InternalError
from tcli_server.observability.log import LOG
from waiting import until

CONFIG = """
backend: "python"
input { name: "IN" data_type: TYPE_INT32 dims: [-1] }
output { name: "JSON" data_type: TYPE_STRING dims: [1] }
"""
FORKING = """
import json
import multiprocessing
import os
import signal
import traceback


def in_child(work, *arguments):
    there, here = os.pipe()
    child = os.fork()
    if child:
        os.close(here)
        with open(there) as file:
            text = file.read()
        return child, json.loads(text)
    try:
        os.close(there)
        found = work(*arguments)
    except BaseException as error:
        found = {"error": str(error)}
    with open(here, "w") as file:
        json.dump(found, file)
    if found == "stay":
        signal.pause()
    os._exit(0)


def ask(values, size=1):
    request = pb_utils.InferenceRequest(
        model_name="repeat",
        requested_output_names=["OUT"],
        inputs=[pb_utils.Tensor("IN", np.array(values, np.int32))],
    )
    return [int(pb_utils.get_output_tensor_by_name(one, "OUT").as_numpy()[0]) for one in request.exec(decoupled=True)
            if one.output_tensors()]


def large(size):
    request = pb_utils.InferenceRequest(
        model_name="identity",
        requested_output_names=["OUT"],
        inputs=[pb_utils.Tensor("IN", np.arange(size, dtype=np.int32))],
    )
    for _ in range(3):
        answer = pb_utils.get_output_tensor_by_name(request.exec(), "OUT").as_numpy()
        assert (answer == np.arange(size)).all()
    return int(answer[-1])


def ask_in_threads():
    import threading
    found = []
    threads = [threading.Thread(target=lambda i=i: found.extend(ask([i, 10 * i]))) for i in range(1, 5)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    return sorted(found)


def log():
    pb_utils.Logger.log_warn("said in a child")
    return pb_utils.is_model_ready("repeat")


def measure():
    family = pb_utils.MetricFamily("of_a_child", "counts", pb_utils.MetricFamily.COUNTER)
    metric = family.Metric({})
    metric.increment(3)
    return metric.value()


def answer_there(sender):
    sender.send(pb_utils.InferenceResponse([]))


def leave_in_the_midst():
    request = pb_utils.InferenceRequest(
        model_name="repeat", requested_output_names=["OUT"], inputs=[pb_utils.Tensor("IN", np.arange(5, dtype=np.int32))]
    )
    next(request.exec(decoupled=True))
    os.kill(os.getpid(), signal.SIGKILL)


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        what = request.request_id()
        values = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "end":
            child, found = in_child(lambda: ask(values) and "stay")
            os.kill(child, signal.SIGTERM)
            found = os.waitpid(child, 0)[1]
        elif what == "several":
            context = multiprocessing.get_context("fork")
            with context.Pool(4) as pool:
                found = pool.map(ask, [[i, i + 1] for i in range(20)])
        elif what == "nested":
            _, found = in_child(lambda: [ask([1]), in_child(ask, [2, 3])[1], ask([4])])
        elif what == "threads":
            _, found = in_child(ask_in_threads)
        elif what == "large":
            _, found = in_child(large, 1_000_000)
        elif what == "log":
            _, found = in_child(log)
        elif what == "measure":
            _, found = in_child(measure)
        elif what == "sender":
            _, found = in_child(answer_there, request.get_response_sender())
        elif what == "mine":
            mine = ask(values)
            _, found = in_child(ask, values)
            found = [mine, found]
        elif what == "stay":
            child, found = in_child(lambda: ask(values) and "stay")
            found = [os.getpid(), child]
        elif what == "leave":
            child = os.fork()
            if not child:
                leave_in_the_midst()
            found = os.waitpid(child, 0)[1]
        else:
            _, found = in_child(ask, values)
        text = json.dumps(found)
        return pb_utils.InferenceResponse([pb_utils.Tensor("JSON", np.array([text], np.object_))])
"""
IDENTITY_CONFIG = """
backend: "python"
input { name: "IN" data_type: TYPE_INT32 dims: [-1] }
output { name: "OUT" data_type: TYPE_INT32 dims: [-1] }
"""
IDENTITY = """
class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("OUT", pb_utils.get_input_tensor_by_name(one, "IN").as_numpy())])
            for one in requests
        ]
"""


@pytest.fixture
def engine(tmp_path: Path):
    write_python_model(tmp_path, "m", FORKING, CONFIG)
    write_python_model(tmp_path, "repeat", REPEAT, REPEAT_CONFIG)
    write_python_model(tmp_path, "identity", IDENTITY, IDENTITY_CONFIG)
    with Engine(tmp_path) as running:
        yield running


def ask(engine: Engine, what: str, *values: int) -> object:
    outputs = engine.infer("m", {"IN": np.array(values or [1], np.int32)}, request_id=what).outputs
    return json.loads(outputs["JSON"][0])


def branches_of(engine: Engine) -> set:
    return engine.model("m").instances[0].instance._supervisor.process.branches._open


def test_a_forked_process_asks_other_models(engine: Engine):
    assert ask(engine, "", 3, 1, 2) == [3, 1, 2]
    assert ask(engine, "mine", 5, 6) == [[5, 6], [5, 6]]
    assert ask(engine, "several") == [[i, i + 1] for i in range(20)]
    assert ask(engine, "nested") == [[1], [2, 3], [4]]
    assert ask(engine, "threads") == sorted([1, 2, 3, 4, 10, 20, 30, 40])
    assert ask(engine, "large") == 999_999
    until(lambda: not branches_of(engine))


def test_a_forked_process_logs_measures_and_asks_after_models(engine: Engine, caplog: pytest.LogCaptureFixture):
    LOG.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING):
            assert ask(engine, "log") is True
        assert "said in a child" in caplog.text
    finally:
        LOG.removeHandler(caplog.handler)
    assert ask(engine, "measure") == 3


def test_a_forked_process_does_not_answer_the_models_requests(engine: Engine):
    assert "in the model's own process" in ask(engine, "sender")["error"]  # type: ignore[index,call-overload]
    assert ask(engine, "", 1) == [1]


def test_a_forked_process_can_be_ended_by_its_parent(engine: Engine):
    assert ask(engine, "end") == signal.SIGTERM


def test_what_forked_processes_hold_goes_with_them(engine: Engine):
    def held() -> tuple[int, int]:
        return len([*Path("/proc/self/fd").iterdir()]), threading.active_count()

    ask(engine, "")
    until(lambda: not branches_of(engine))
    before = held()
    for _ in range(5):
        assert ask(engine, "leave") == signal.SIGKILL
        ask(engine, "several")
    until(lambda: not branches_of(engine) and all(now <= then for now, then in zip(held(), before, strict=True)))
    memory = engine.model("m").instances[0].instance.memory_size
    _, child = ask(engine, "stay", 7)  # type: ignore[misc]
    assert engine.model("m").instances[0].instance.memory_size == memory + 2 * (1 << 20)
    os.kill(child, signal.SIGKILL)
    until(lambda: engine.model("m").instances[0].instance.memory_size == memory)
    assert ask(engine, "", 1, 2) == [1, 2]


def test_the_end_of_a_model_is_seen_while_its_children_live_and_is_theirs(engine: Engine):
    parent, child = ask(engine, "stay", 7)  # type: ignore[misc]
    with pytest.raises(InternalError, match="ended by SIGKILL"):  # its child lives on, with all that it inherited
        ask(engine, "die")
    until(lambda: engine.model_ready("m"))
    until(lambda: not Path(f"/proc/{child}").exists())
    again, child = ask(engine, "stay", 7)  # type: ignore[misc]
    assert again != parent
    engine.shutdown()
    until(lambda: not Path(f"/proc/{child}").exists())
