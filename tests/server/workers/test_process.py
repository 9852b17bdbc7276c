"""A worker's process, as the supervisor has it."""

import os
import signal
import threading
from pathlib import Path

import pytest

import onnx_models
from repositories import write_model
from tcli_server.errors import InternalError
from tcli_server.observability.log import LogOptions
from tcli_server.options import EngineOptions
from tcli_server.serving import ServeOptions
from tcli_server.workers import WorkerSetup
from tcli_server.workers.channel import ChannelLostError
from tcli_server.workers.messages import CarryOut, Report, Unload
from tcli_server.workers.process import WorkerProcess
from tcli_server.workers.totals import Totals

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="several workers need Linux")
PATIENCE = 60


def test_a_worker_that_answers_nothing_is_killed_and_who_waits_for_it_hears_so(tmp_path: Path):
    write_model(tmp_path, "identity", onnx_models.identity())
    totals, ended = Totals(), threading.Event()
    worker = WorkerProcess(0, sorted(os.sched_getaffinity(0)), lambda *_: None, totals.told)
    serve = ServeOptions(allow_http=False, allow_grpc=False, allow_metrics=False)
    worker.begin(WorkerSetup([tmp_path], EngineOptions(), serve, LogOptions(), 1), lambda _: ended.set())
    try:
        worker.open()
        worker.ready.result(PATIENCE)
        for _ in range(100):  # it answers, so it is left alone, however long that goes on
            worker.reporter.fresh().result(PATIENCE)
            worker.kill_if_silent(59)
        assert totals.models([worker]) == {"identity"}
        os.kill(worker.pid, signal.SIGSTOP)
        report, unload = worker.reporter.fresh(), worker.carry_out(CarryOut(0, Unload("identity")))
        worker.kill_if_silent(59)
        assert not ended.is_set()
        worker.kill_if_silent(1)
        assert ended.wait(PATIENCE)
        assert isinstance(unload.exception(PATIENCE), ChannelLostError)
        report.result(PATIENCE)
        assert worker.death() == "it has answered nothing for 60 s and was killed"
    finally:
        worker.kill()
        worker.wait(PATIENCE)


def test_one_that_loads_may_be_silent_for_longer(tmp_path: Path):
    worker = WorkerProcess(0, sorted(os.sched_getaffinity(0)), lambda *_: None, no_report)
    worker.begin(WorkerSetup([tmp_path], EngineOptions(), ServeOptions(), LogOptions(), 1), lambda _: None)
    try:
        os.kill(worker.pid, signal.SIGSTOP)
        worker.kill_if_silent(599)
        assert not worker.wait(0)
        worker.kill_if_silent(1)
        with pytest.raises(InternalError, match="it has answered nothing for 600 s"):
            worker.loaded.result(PATIENCE)
    finally:
        worker.kill()
        worker.wait(PATIENCE)


def no_report(_: WorkerProcess, __: Report) -> None:
    pass
