"""Analyses with something of everything to tell: disturbed windows, failures, wrong answers, predictions, rates."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from measured_points import BUSY, QUIET, finals, steady
from tcli_analyzer.analysis import Analysis
from tcli_analyzer.configuration import Configuration, label_of
from tcli_analyzer.evidence.disturbance import ProcessorTime
from tcli_analyzer.goal import Goal
from tcli_analyzer.guard.accuracy import Accuracy, OutputAccuracy
from tcli_analyzer.guard.agreement import Agreement as SameClass
from tcli_analyzer.load import ClosedLoad, Load, OpenLoad
from tcli_analyzer.machine import Machine
from tcli_analyzer.measuring.window import Window, Windows
from tcli_analyzer.options import AnalysisOptions
from tcli_analyzer.point import Point
from tcli_analyzer.prediction.service import Entry, ServiceTimes
from tcli_analyzer.prediction.stored import StoredTable, StoredTables
from tcli_analyzer.rate.found import Purpose, RateFound, RateProbe, Verdict
from tcli_analyzer.rate.slo import parse_slo
from tcli_analyzer.searching.agreement import Agreement, Compared, Error
from tcli_analyzer.searching.found import Expected, Failure, Prediction
from tcli_analyzer.target import Counters

BEGAN = 1_790_000_000.0
MACHINE = Machine("Some Processor 9000 @ 2.4 GHz", 2, 8.0, (), "Linux 6.1", "3.11.9", "1.23.0", "0.1.0")


class Clock:
    """Windows follow each other."""

    def __init__(self) -> None:
        self._at = BEGAN

    def windows(
        self,
        throughputs: Sequence[float],
        latency_ms: float,
        processors: Sequence[ProcessorTime] = (QUIET,),
        requests: int = 60,
        items: int = 1,
        memory: float = 180.0,
    ) -> Windows:
        found = []
        for number, throughput in enumerate(throughputs):
            random = np.random.default_rng(int(throughput * 100) + number)
            latencies = latency_ms * (0.8 + 0.4 * random.random(requests))
            mean = float(latencies.mean())
            parts = [int(requests * mean * share * 1e6) for share in (0.4, 0.02, 0.5, 0.02)]
            seconds = requests * items / throughput
            found.append(
                Window(
                    self._at, seconds, latencies, Counters(requests, requests * items, requests // 2 or 1, *parts),
                    processors[number % len(processors)], memory, items=items,
                )
            )  # fmt: skip
            self._at += seconds + 0.4
        return Windows(tuple(found))


def config(batch: int, instances: int, backend: str = "onnxruntime") -> ModelConfig:
    made = ModelConfig(backend=backend, max_batch_size=batch)
    made.instance_group.add(count=instances)
    if batch > 1:
        made.dynamic_batching.SetInParent()
    return made


def variant(
    number: int, batch: int, instances: int, backend: str = "onnxruntime", precision: str = ""
) -> Configuration:
    made = config(batch, instances, backend)
    extra = ""
    if backend == "openvino":
        extra = f", openvino {precision}".rstrip()
        if precision:
            made.parameters["INFERENCE_PRECISION_HINT"].string_value = precision
    return Configuration(
        label_of(batch, instances) + extra, batch, instances, made, name=f"net_config_{number}", changes_numbers=batch > 1,
    )  # fmt: skip


OWN = Configuration("current (no batching, 1 instance)", 0, 1, config(0, 1), current=True, name="net_config_default")


def told(folder: Path, goal: Goal | None = None, undecided: bool = False, rates: bool = True) -> Analysis:
    """An analysis of a model named `net`."""
    clock, goal = Clock(), goal or Goal()
    ones = [variant(i, b, n) for i, (b, n) in enumerate([(1, 1), (1, 2), (4, 1), (4, 2), (8, 1), (8, 2)])]
    others = [variant(6 + i, b, n, "openvino", "bf16") for i, (b, n) in enumerate([(1, 1), (4, 1), (8, 1)])]
    half = [QUIET, BUSY]

    def measured(
        one: Configuration, load: Load, rate: float, ms: float, processors: Sequence[ProcessorTime] = (QUIET,)
    ) -> Point:
        return Point(one, load, clock.windows([rate, rate * 1.02], ms, processors))

    points = []
    for number, one in enumerate([OWN, *ones]):
        for callers in (1, 4, 16):
            capacity = 40 + 8 * max(1, one.max_batch_size) ** 0.7 * one.instances**0.3
            rate = capacity * callers / (callers + 1.2)
            points.append(
                measured(one, ClosedLoad(callers), rate, 1e3 * callers / rate, half if number == 3 else (QUIET,))
            )
    points.append(measured(ones[5], ClosedLoad(32), 61, 520, (BUSY,)))
    for one in others:
        rate = 130.0 + 10 * one.max_batch_size
        points.append(measured(one, ClosedLoad(16), rate, 16e3 / rate))
    check = measured(ones[2], OpenLoad(40), 40, 31)
    best, tied = ones[4], ones[2]
    default = Configuration("defaults (no batching, 1 instance)", 0, 1, config(0, 1))
    raced = [
        Point(one, ClosedLoad(16), clock.windows(steady(rate, 9), 16e3 / rate, processors, 300, memory=memory))
        for one, rate, processors, memory in (
            (OWN, 46.0, (QUIET, QUIET, BUSY), 180.0),
            (default, 44.0, (QUIET,), 170.0),
            (best, 71.0, (QUIET,), 240.0),
            (tied, 66.0, (QUIET,), 230.0),
        )
    ]
    if undecided:
        raced = [replace(one, windows=clock.windows([40.0] * 3, 200, (BUSY,))) for one in raced]
    accuracy = {
        best: _ok(2e-6, 64),
        tied: _ok(1e-6, 64),
        others[2]: Accuracy(
            "wrong", "its largest difference is 3.1 % of the largest value, 0.01 % allowed", 64, (2, 8),
            (OutputAccuracy("scores", True, 0.031, 0.2, 1e-4, None, 0.0, top1=SameClass(58, 64)),), True,
        ),
    }  # fmt: skip
    reason = "out of memory: the process was ended at 2,048 MiB"
    failed = [Failure(variant(20 + n, 16, n), ClosedLoad(16) if n == 1 else None, reason) for n in (1, 2, 4, 8)] + [
        Failure(variant(30, 4, 1, "openvino"), None, "openvino does not know the operator 'Foo'")
    ]
    service = ServiceTimes({1: Entry(0.02, (1.0,)), 8: Entry(0.11, (0.99, 1.01))}, [1.0])
    prediction = Prediction(
        agreement={
            "closed loop": Agreement(6, Error(0.022, 0.004), Error(0.03, -0.01), Error(0.081, 0.05), 0.94, 5 / 6),
            "open loop (check)": Agreement(1, Error(0.01, 0.01), Error(0.19, 0.19), Error(0.12, 0.12), float("nan"), 1.0),
        },
        compared=_compared(), expected=_expected(ones, others), not_measured=22, unpredicted=0, chance=0.04, margin=0.03, stopped_by="it is unlikely that anything else is better",
        tables=StoredTables((StoredTable("batch 8, 1 instance", 1, service),), 1.1, {"throughput": 0.02}),
    )  # fmt: skip
    slo = parse_slo("p99<=200ms")
    options = AnalysisOptions("net", (folder,), goal=goal, slo=slo if rates else None)
    subject = SimpleNamespace(
        placeholder="", batchable=None, batches=True, not_batchable="", check=None, wrong_batches="", unchecked="",
        verdict=None, default=default, folder=SimpleNamespace(path=folder, name="net"),
    )  # fmt: skip
    analysis = Analysis(
        options, subject, MACHINE, datetime(2026, 3, 1, 12, 0, tzinfo=UTC), configurations=(OWN, *ones, *others),  # type: ignore[arg-type]
        points=points, checks=[check], size=80, leaders=[points[-1]], prediction=prediction, accuracy=accuracy,
        finals=finals(raced, goal), failures=failed, notes=["one thing to know"], seconds=171.0,
    )  # fmt: skip
    if rates:
        analysis.rates = {one: _rate(one, clock, capacity, slo) for one, capacity in ((best, 71.0), (OWN, 46.0))}
    analysis.neighbours.seconds.update({"cc1plus": 12.5, "python3": 3.2})
    return analysis


def unmeasured(folder: Path) -> Analysis:
    """The same where every configuration failed."""
    return replace(
        told(folder, rates=False), points=[], checks=[], leaders=[], prediction=None, accuracy={}, finals=None
    )


def _expected(ones: Sequence[Configuration], others: Sequence[Configuration]) -> list[Expected]:
    """Of one that was not measured, too."""
    missing = variant(12, 4, 2, "openvino", "bf16")
    rates = [(missing, 150.0), *((one, 40.0 + number) for number, one in enumerate((*ones, *others)))]
    return [
        Expected(one, ClosedLoad(16), (), rate, 0.9 * rate, 1.1 * rate, rate, 16e3 / rate, 17e3 / rate, 2.0, 0.9)
        for one, rate in rates
    ]


def _compared() -> dict[str, list[Compared]]:
    pairs = [(45, 46.1), (61, 60.2), (66, 68.0), (71, 71.9), (38, 37.2), (52, 53.5)]
    closed = [
        Compared(
            f"point {one}",
            one,
            other,
            (one, other),
            (900 / one, 900 / other),
            (1600 / one, 1.05 * 1600 / other),
            0.0,
            0.05,
        )
        for one, other in pairs
    ]
    return {
        "closed loop": closed,
        "open loop (check)": [Compared("the check", 30, 25, (40, 40.4), (22, 26), (60, 67), 0.0, float("inf"))],
    }


def _ok(relative: float, items: int) -> Accuracy:
    output = OutputAccuracy("scores", True, relative, relative, 1e-4, None, 0.1, top1=SameClass(items, items))
    return Accuracy("ok", "", items, (2, 8), (output,))


def _rate(one: Configuration, clock: Clock, capacity: float, slo: object) -> RateFound:
    probes = []
    for share in (0.5, 0.8, 0.92, 0.86):
        wait = 20 / (1 - share)
        quiet = share != 0.92
        windows = clock.windows([share * capacity], 30 + wait, (QUIET if quiet else BUSY,), 400)
        probes.append(RateProbe(share * capacity, windows, Purpose.SEARCH, quiet))
    return RateFound(
        one, slo, Verdict.CONFIRMED, 0.84 * capacity, 0.8 * capacity, 0.9 * capacity, 0.86 * capacity, slo.conditions[0], 180.0,  # type: ignore[arg-type, attr-defined]
        25.0, capacity, tuple(probes), 4000, 2000, 1700,
    )  # fmt: skip
