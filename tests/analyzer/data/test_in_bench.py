"""Data and sequences in the processes that measure."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

import onnx_models
import sequence_models
from repositories import add_sub_config, write_model
from tcli_analyzer.bench import CannotMeasureError
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.data import DataSource
from tcli_analyzer.load import ClosedLoad, OpenLoad
from tcli_analyzer.load.sequences import sequences_of
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.target import EngineTarget

QUICK = VisitOptions(seconds=0.1, requests=3, warm_up_seconds=0.02)


def current(repository: Path, model: str) -> Configuration:
    with EngineTarget(repository, model) as target:
        complete = target.load()
    return Configuration("current", complete.max_batch_size, 1, complete, current=True)


def test_arrays_are_sent_in_batches(tmp_path: Path):
    write_model(tmp_path, "add_sub", onnx_models.add_sub(), add_sub_config(), **{"labels.txt": "a\n" * 16})
    np.save(tmp_path / "INPUT0.npy", np.ones((5, 16), np.float32))
    source = DataSource((str(tmp_path / "INPUT0.npy"),))
    configuration = current(tmp_path, "add_sub")
    with LocalBench({False: tmp_path}, "add_sub", source, threading.Event()) as bench:
        options = VisitOptions(seconds=0.5, warm_up_seconds=0.02, items=4, longest=1000)
        (window,) = bench.visit(configuration, ClosedLoad(2), options)
        assert window.counters.inferences == 4 * window.counters.requests > 0
        np.save(tmp_path / "INPUT0.npy", np.ones((5, 15), np.float32))
        with pytest.raises(CannotMeasureError, match=r"INPUT0.npy: item 0: input 'INPUT0' takes FP32 \[16\]"):
            bench.visit(configuration, ClosedLoad(2), QUICK)


@pytest.mark.parametrize("kind", [ClosedLoad, OpenLoad])
def test_recorded_sequences(tmp_path: Path, kind: type):
    config = sequence_models.sums_config("max_sequence_idle_microseconds: 3600000000")
    write_model(tmp_path, "sums", sequence_models.sums(), config)
    (tmp_path / "data.json").write_text(json.dumps({"data": [[{"INPUT": [1]}] * 3, [{"INPUT": [2]}] * 5]}))
    configuration = current(tmp_path, "sums")
    load = kind(50, sequences=sequences_of(configuration.config))
    with LocalBench({False: tmp_path}, "sums", DataSource((str(tmp_path / "data.json"),)), threading.Event()) as bench:
        for _ in range(2):  # a visit leaves all slots to the next
            (window,) = bench.visit(configuration, load, QUICK)
            assert len(window.latencies_ms) > 0
            assert not window.overloaded
