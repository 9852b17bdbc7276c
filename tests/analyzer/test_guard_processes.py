"""What happens in a process of the guard is a reason, and the end of no analysis."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import psutil
import pytest

import batching_models as graphs
import guarded_models as models
import onnx_models
from repositories import write_model
from tcli_analyzer.guard import Accuracy, Guard, GuardOptions
from tcli_analyzer.inputs import RandomSource, Source
from tcli_analyzer.measuring.visit import Stopped
from waiting import until


def checked(repository: Path, source: Source | None = None, told=lambda _: None, **options: object) -> list[Accuracy]:
    """What is found of the configuration itself, and of one with smaller batches."""
    config = models.complete_config(repository)
    variants = [models.current(config), models.varied(config, 4)]
    inputs, limits = source or models.rows_of(8, 4), GuardOptions(**options)
    found = Guard({False: repository}, "m", variants[0], inputs, threading.Event(), limits, told).check(variants)
    return [found[one] for one in variants]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return graphs.write(tmp_path, "m", models.scaled, models.config_for())


def kill_the_next() -> None:
    """End the guard's next process as a fault in a model does."""

    def process() -> psutil.Process | None:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if any("tcli_analyzer.guard.worker" in word for word in child.cmdline()):
                    return child
        return None

    def kill() -> None:
        until(lambda: process() is not None)
        found = process()
        assert found is not None
        os.kill(found.pid, signal.SIGSEGV)

    threading.Thread(target=kill).start()


def test_a_variant_that_dies(repository):
    """Smaller batches are tried by themselves then."""

    def told(text: str) -> None:
        if text == "comparing the answers of current ...":
            kill_the_next()

    largest, smaller = checked(repository, told=told)
    assert largest.verdict == "wrong"
    assert "ended by SIGSEGV" in largest.reason
    assert "(while " in largest.reason
    assert smaller.verdict == "ok"


def test_an_original_that_dies(repository):
    found = checked(repository, source=models.Deadly())
    assert {one.verdict for one in found} == {"unchecked"}
    assert found[0].reason.startswith("the original: the process that ran it was ended by SIGSEGV")
    assert "(while making inputs)" in found[0].reason


def test_too_little_memory(repository):
    found = checked(repository, memory=1 << 20)
    assert {one.verdict for one in found} == {"unchecked"}
    assert "more memory than there is for it: 1 MiB" in found[0].reason


def test_a_process_that_does_not_end(tmp_path):
    write_model(tmp_path / "own", "m", onnx_models.identity())
    write_model(tmp_path / "endless", "m", onnx_models.endless_to_load())
    config = models.complete_config(tmp_path / "own")
    variant = models.varied(config, 4, rewritten=True)
    places = {False: tmp_path / "own", True: tmp_path / "endless"}
    stop = threading.Event()
    source = RandomSource({"INPUT0": (4,)})
    options = GuardOptions(limit=0.01)
    (found,) = Guard(places, "m", models.current(config), source, stop, options).check([variant]).values()
    assert found.verdict == "unchecked"
    assert "it took longer than 0.01 seconds (while starting)" in found.reason

    def told(text: str) -> None:
        if text.startswith("comparing"):
            threading.Timer(0.5, stop.set).start()

    guard = Guard(places, "m", models.current(config), source, stop, told=told)
    with pytest.raises(Stopped):
        guard.check([variant])
    assert not [one for one in psutil.Process().children() if "guard.worker" in " ".join(one.cmdline())]


def test_inputs_that_cannot_be_made(repository):
    found = checked(repository, source=RandomSource({}))
    assert {one.verdict for one in found} == {"unchecked"}
    assert found[0].reason.startswith("no inputs could be made: ")


def test_it_costs_what_it_may(tmp_path):
    """Of a slow model two items at least, and no more than time allows."""
    write_model(tmp_path, "m", onnx_models.slow_identity(rounds=40), 'backend: "onnxruntime" max_batch_size: 8')
    source = RandomSource({"INPUT0": (4,)})
    found = checked(tmp_path, source, seconds=0.001)
    assert {one.items for one in found} == {2}


def test_large_inputs_are_few(tmp_path):
    """Of 8 MiB each, and as much again in answers: 64 MiB in all."""
    write_model(tmp_path, "m", onnx_models.identity(shape=("N", "M")), 'backend: "onnxruntime" max_batch_size: 1')
    config = models.complete_config(tmp_path)
    source = RandomSource({"INPUT0": (2 << 20,)})
    own = models.current(config)
    (found,) = Guard({False: tmp_path}, "m", own, source, threading.Event()).check([own]).values()
    assert (found.verdict, found.items) == ("ok", 4)
