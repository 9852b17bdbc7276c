"""A variant in a process of its own: measured, refused, dead, out of memory, stopped."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psutil
import pytest

import onnx_models
from python_models import IDENTITY, write_python_model
from repositories import add_sub_config, write_model
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.variant import Variant, VariantDiedError
from tcli_analyzer.variant.asked import AskedProcess
from tcli_analyzer.variant.messages import Failure, receive, send
from tcli_server.errors import InternalError
from waiting import until

QUICK = VisitOptions(seconds=0.05, warm_up_seconds=0.02, longest=1000)  # ends by its answers
RANDOM = RandomSource({"INPUT0": (16,), "INPUT1": (16,)})


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = tmp_path_factory.mktemp("variants")
    write_model(repository, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    return repository


def test_it_is_loaded_and_measured_in_its_process(repository):
    with Variant(repository, "add_sub", threading.Event()) as variant:
        config = variant.load()
        variant.make_requests(RANDOM)
        closed = variant.visit(ClosedLoad(4), QUICK)
        opened = variant.visit(OpenLoad(40), VisitOptions(seconds=0.2, requests=1))
        config.instance_group[0].count = 2
        assert variant.load(config).instance_group[0].count == 2
        assert variant.pid != os.getpid()
    assert closed[0].throughput > 0
    assert opened[0].throughput > 0


def test_two_are_measured_in_turn(repository):
    stop = threading.Event()
    with Variant(repository, "add_sub", stop) as one, Variant(repository, "add_sub", stop) as other:
        for variant in (one, other):
            variant.load()
            variant.make_requests(RANDOM, items=2)
        for variant in (one, other, other, one):
            (window,) = variant.visit(ClosedLoad(2), VisitOptions(seconds=0.5, items=2, longest=1000))
            assert window.counters.inferences > 1.5 * window.counters.requests > 0  # counted at different moments


def test_what_is_refused_is_told_and_it_goes_on(repository):
    with Variant(repository, "add_sub", threading.Event()) as variant:
        config = variant.load()
        config.max_batch_size = -1
        with pytest.raises(InternalError, match="max_batch_size"):
            variant.load(config)
        variant.load()
        variant.make_requests(RandomSource({"INPUT0": (3,), "INPUT1": (16,)}))
        with pytest.raises(InternalError, match="INPUT0"):
            variant.visit(ClosedLoad(1), QUICK)
        variant.make_requests(RANDOM)
        assert variant.visit(ClosedLoad(1), QUICK)


def test_a_death_is_told_with_its_reason(repository):
    with Variant(repository, "add_sub", threading.Event()) as variant:
        variant.load()
        variant.make_requests(RANDOM)
        threading.Timer(0.2, os.kill, (variant.pid, signal.SIGSEGV)).start()
        with pytest.raises(VariantDiedError, match="SIGSEGV"):
            variant.visit(ClosedLoad(1), VisitOptions(seconds=3600))
        with pytest.raises(VariantDiedError, match="SIGSEGV"):
            variant.load()


def test_one_that_needs_too_much_memory_is_ended(repository):
    with (
        Variant(repository, "add_sub", threading.Event(), memory=1 << 20) as variant,
        pytest.raises(VariantDiedError, match="more memory than there is for it: 1 MiB"),
    ):
        variant.load()


def test_stop_ends_it_at_once(repository):
    stop = threading.Event()
    with Variant(repository, "add_sub", stop) as variant:
        variant.load()
        variant.make_requests(RANDOM)
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(Stopped):
            variant.visit(ClosedLoad(1), VisitOptions(seconds=3600))
        pid = variant.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_it_ends_with_whoever_started_it(repository):
    """Also if that one is killed."""
    script = (
        "import threading, sys, time; from pathlib import Path; from tcli_analyzer.variant import Variant\n"
        f"with Variant(Path({str(repository)!r}), 'add_sub', threading.Event()) as variant:\n"
        "    variant.load(); print(variant.pid, flush=True); time.sleep(3600)"
    )
    with killed_later(script) as pid:
        pass
    until(lambda: is_gone(pid))


def test_it_ends_with_whoever_started_it_while_its_model_hangs(tmp_path):
    """With the process that the model runs in."""
    code = "import time\n" + IDENTITY + "    def initialize(self, args):\n        time.sleep(3600)\n"
    write_python_model(tmp_path, "hangs", code)
    script = (
        "import threading; from pathlib import Path; from tcli_analyzer.variant import Variant\n"
        f"with Variant(Path({str(tmp_path)!r}), 'hangs', threading.Event()) as variant:\n"
        "    print(variant.pid, flush=True); variant.load()"
    )
    with killed_later(script) as pid:
        until(lambda: bool(psutil.Process(pid).children()), "the model is not loaded")
        started = psutil.Process(pid).children()
    until(lambda: is_gone(pid) and all(is_gone(one.pid) for one in started), "they stay")


@contextmanager
def killed_later(script: str) -> Iterator[int]:
    """A program is killed on leaving; gives the process that it says it has started."""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        try:
            yield int(parent.stdout.readline())
        finally:
            parent.kill()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # nobody waits for it
    except psutil.NoSuchProcess:
        return True


def test_an_answer_that_is_cut_off_is_a_death(tmp_path, monkeypatch):
    (tmp_path / "cuts_off.py").write_text(
        "import os, pickle, sys\n"
        "from tcli_server.apart import begin_apart\n"
        "def main():\n"
        "    answers = begin_apart()\n"
        "    pickle.load(sys.stdin.buffer)\n"
        "    answers.write(pickle.dumps(list(range(1000)))[:-100])\n"
        "    answers.flush()\n"
        "    os._exit(7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with (
        AskedProcess("cuts_off", [], threading.Event()) as asked,
        pytest.raises(VariantDiedError, match="exit status 7"),
    ):
        asked.ask("anything", 30)


@pytest.mark.parametrize("value", [Failure("it is stuck", True), {"x": np.arange(100_000)}, "text"])
def test_a_message_that_is_cut_off_anywhere_is_an_end(value):
    whole = io.BytesIO()
    send(whole, value)
    content = whole.getvalue()
    for cut in {*range(min(300, len(content))), *range(0, len(content), 10_000), len(content) - 1}:
        with pytest.raises(EOFError):
            receive(io.BytesIO(content[:cut]))
