"""A variant in a process of its own: measured, refused, dead, out of memory, stopped."""

import os
import signal
import subprocess
import sys
import threading

import pytest

import onnx_models
from repositories import add_sub_config, write_model
from tcli_analyzer.inputs import RandomSource
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.measuring.visit import Stopped, VisitOptions
from tcli_analyzer.variant import Variant, VariantDiedError
from tcli_server.errors import InternalError
from waiting import until

QUICK = VisitOptions(seconds=0.05, warm_up_seconds=0.02)
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
        opened = variant.visit(OpenLoad(100), VisitOptions(seconds=0.2, requests=1))
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
            (window,) = variant.visit(ClosedLoad(2), VisitOptions(seconds=0.05, items=2))
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
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()

    def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    until(is_gone)
