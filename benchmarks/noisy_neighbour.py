"""What `tcli analyze` says on a machine with a neighbour, against what a quiet one has as best.

    python benchmarks/noisy_neighbour.py [--model efficientnet_lite0] [--analyses 5] [--tries 40] [--json FILE]

1. While nothing else runs, every configuration of a small space races against the model's own: the truth.
2. A seeded process burns a core at random times; analyses run beside it, each with another seed. What they recommend is looked up in
   the truth: how far is it from the best? An answer of "undecided" recommends what stays, the present configuration.
3. Two copies of one configuration race beside the neighbour: any claim that one is better is false.
4. The model's own and one with half of its processors race beside the neighbour: a difference that is there is to be found.

It takes about forty minutes on two cores. Begin it on a machine on which nothing else runs: whether that was so is part of the answer.
"""

import argparse
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from running import write_json
from tcli_analyzer.analysis import Analysis
from tcli_analyzer.analyze import analyze
from tcli_analyzer.bench.local import LocalBench
from tcli_analyzer.configuration import Configuration, instance_count
from tcli_analyzer.data import DataSource
from tcli_analyzer.evidence.pairs import Verdict
from tcli_analyzer.evidence.race import Race
from tcli_analyzer.finals import Finals, run_finals
from tcli_analyzer.goal import Goal
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.measuring.visit import VisitOptions
from tcli_analyzer.measuring.window import Windows
from tcli_analyzer.options import AnalysisOptions, SearchKind
from tcli_analyzer.point import Point
from tcli_analyzer.searching.found import Failure
from tcli_analyzer.space import SpaceValues
from tcli_analyzer.subject import find_model
from tcli_analyzer.variant import Variant
from tcli_analyzer.workspace import Workspace
from tcli_server.zoo import scaffold_efficientnet_lite0

SPACE = SpaceValues(max_batch_sizes=(1, 4, 8), instances=(1, 2), concurrency=(4, 16), engines=("onnxruntime",))
BUSY_SHARE = 0.4
"""Of the time in which the neighbour burns its core."""
SHORT = VisitOptions(seconds=0.4)
TRUTH_SECONDS, TRY_SECONDS, FOUND_SECONDS = 240.0, 20.0, 90.0
"""Of the race that tells the truth, of one between two copies, and of one between two that differ."""

DIFFERENCES = 3


class Silent:
    """Watches and says nothing."""

    def note(self, text: str) -> None:
        del text

    def warn(self, text: str) -> None:
        del text

    def planned(self, points: int, of: int, seconds: float) -> None:
        del points, of, seconds

    def measuring(self, what: str, seconds_left: float) -> None:
        del what, seconds_left

    def measured(self, point: Point, seconds_left: float) -> None:
        del point, seconds_left

    def racing(self, finalists: list[Point]) -> None:
        del finalists

    def raced(self, race: Race, seconds_left: float) -> None:
        del race, seconds_left

    def rated(self, configuration: Configuration, text: str) -> None:
        del configuration, text

    def failed(self, failure: Failure) -> None:
        del failure


def burn(seed: int) -> None:
    """A core at random times: seconds of work and of rest, both exponential; as long as this benchmark runs, however it ends."""
    chance = random.Random(seed)
    benchmark = multiprocessing.parent_process()
    while benchmark is not None and benchmark.is_alive():
        end = time.monotonic() + chance.expovariate(1 / (4 * BUSY_SHARE))
        while time.monotonic() < end:
            sum(range(1000))
        time.sleep(chance.expovariate(1 / (4 * (1 - BUSY_SHARE))))


@contextmanager
def neighbour(seed: int) -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=burn, args=(seed,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def run(repository: Path, model: str, search: SearchKind, seed: int) -> Analysis:
    options = AnalysisOptions(model, (repository,), SPACE, search=search, seed=seed, search_seconds=60)
    with Workspace(find_model([repository], model)) as workspace:
        return analyze(options, workspace, Silent(), threading.Event())


def truth(repository: Path, model: str) -> tuple[dict[str, float], float]:
    """Of each configuration its throughput on the quiet machine, as a ratio to the model's own, and the share of windows that were clean.

    The grid tells under which load each does most; then all race, as the best of many points measured once is partly the luckiest.
    """
    analysis = run(repository, model, SearchKind.GRID, 0)
    best: dict[Configuration, Point] = {}
    for point in sorted(analysis.points, key=lambda one: one.measured.throughput):
        for configuration in (point.configuration, *point.same):
            best[configuration] = replace(point, configuration=configuration, same=())
    points = sorted(best.values(), key=lambda point: not point.configuration.current)
    with Workspace(find_model([repository], model)) as workspace:
        repositories = {False: workspace.current}
        with LocalBench(repositories, model, DataSource(), threading.Event()) as bench:
            finals = run_finals(bench, points, Goal(), SHORT, 0.02, TRUTH_SECONDS, lambda *_: None)
    own, *others = finals.points
    ratios = {point.configuration.label: 1 + finals.compare(point, own).gain for point in others}
    windows = [window for found in finals.race.windows.values() for window in found]
    return {own.configuration.label: 1.0, **ratios}, sum(window.is_clean for window in windows) / len(windows)


def false_claims(repository: Path, model: str, tries: int) -> tuple[int, int, int]:
    """Claims, ties, and undecided ones of races between two copies of one configuration."""
    found = dict.fromkeys(Verdict, 0)
    with Workspace(find_model([repository], model)) as workspace:
        subject = current(workspace, model)
        for seed in range(tries):
            finals = beside(workspace, model, subject, replace(subject, label="the same"), TRY_SECONDS, 1000 + seed)
            found[finals.compare(finals.points[1], finals.points[0]).verdict] += 1
            print(f"try {seed + 1}: {found}", file=sys.stderr)
    return found[Verdict.BETTER] + found[Verdict.WORSE], found[Verdict.TIE], found[Verdict.UNDECIDED]


def differences_found(repository: Path, model: str, tries: int) -> int:
    """How often it is found that half of the processors do less."""
    found = 0
    with Workspace(find_model([repository], model)) as workspace:
        subject = current(workspace, model)
        half = ModelConfig()
        half.CopyFrom(subject.config)
        del half.instance_group[:]
        half.instance_group.add(kind=ModelInstanceGroup.KIND_CPU, count=1)
        half.parameters["intra_op_thread_count"].string_value = "1"
        for seed in range(tries):
            rival = replace(subject, label="half", config=half, instances=1)
            finals = beside(workspace, model, subject, rival, FOUND_SECONDS, 2000 + seed)
            compared = finals.compare(finals.points[1], finals.points[0])
            found += compared.verdict is Verdict.WORSE
            print(
                f"half of the processors: {compared}, {finals.race.dropped} of {finals.race.total} dropped",
                file=sys.stderr,
            )
    return found


def beside(
    workspace: Workspace, model: str, one: Configuration, other: Configuration, seconds: float, seed: int
) -> Finals:
    """A race beside the neighbour."""
    points = [Point(each, ClosedLoad(4), Windows(())) for each in (one, other)]
    repositories = {False: workspace.current}
    with neighbour(seed), LocalBench(repositories, model, DataSource(), threading.Event()) as bench:
        return run_finals(bench, points, Goal(), SHORT, 0.02, seconds, lambda *_: None)


def current(workspace: Workspace, model: str) -> Configuration:
    with Variant(workspace.current, model, threading.Event()) as variant:
        config = variant.load()
    return Configuration("one", config.max_batch_size, instance_count(config), config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, help="[default: a new one with the trained classifier]")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--analyses", type=int, default=5)
    parser.add_argument("--tries", type=int, default=40)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = args.repository or Path(folder) / "models"
        if not args.repository:
            scaffold_efficientnet_lite0(repository)
        best, clean = truth(repository, args.model)
        top = max(best.values())
        gains = ", ".join(f"{label} {100 * (ratio - 1):+.1f} %" for label, ratio in best.items())
        print(f"quiet: {100 * clean:.0f} % of windows clean; against the model's own: {gains}")
        rows = []
        for seed in range(1, args.analyses + 1):
            with neighbour(seed):
                analysis = run(repository, args.model, SearchKind.QUICK, seed)
            told = analysis.recommendation
            assert told is not None
            behind = 1 - best.get(told.chosen.configuration.label, 0.0) / top
            dropped = f"{told.finals.race.dropped} of {told.finals.race.total}"
            rows.append({"outcome": told.outcome.value, "chosen": told.chosen.configuration.label, "behind": behind})
            print(
                f"{seed}: {told.outcome}: {told.chosen.configuration.label}, {100 * behind:.1f} % behind, {dropped} dropped"
            )
        claims, ties, undecided = false_claims(repository, args.model, args.tries)
        print(f"two copies: {claims} false claims, {ties} ties, {undecided} undecided of {args.tries}")
        found = differences_found(repository, args.model, DIFFERENCES)
        print(f"half of the processors: found to do less in {found} of {DIFFERENCES}")
        within = sum(row["behind"] <= 0.05 for row in rows)
        print(f"{within} of {len(rows)} recommendations within 5 % of the best")
        document = {
            "truth": best,
            "clean": clean,
            "analyses": rows,
            "false_claims": claims,
            "ties": ties,
            "found": found,
        }
        write_json(args.json, document)


if __name__ == "__main__":
    main()
