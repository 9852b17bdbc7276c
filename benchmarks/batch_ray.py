"""How many rows a second Ray's actors answer: one on one node, two on two nodes, and one process without Ray on the same core.

    python benchmarks/batch_ray.py [--rows 880] [--rounds 3] [--json FILE]

The rows are decoded pictures in a .npy file, the model is efficientnet_lite0, and every actor has one core. The nodes are
Ray's own for tests: each is a raylet on this machine, so that two nodes need two idle cores, and share memory and disk.
The rate is of the rows after the first share that is done, so that starting actors and loading the model does not count; what a
whole job took is told, too. Rounds are interleaved. Needs tcli[ray].
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from running import write_json
from tcli_batch import JobOptions, find_data
from tcli_batch.answering import Answering
from tcli_batch.block import Cursor
from tcli_batch.parts import Progress
from tcli_batch.ray_data import RayJob, connected
from tcli_batch.ray_data.cluster import ray_module
from tcli_batch.ray_data.worker import load, take_cores
from tcli_server.zoo import efficientnet_lite0, scaffold_efficientnet_lite0

MODEL = efficientnet_lite0.NAME
STORE = 80 << 20


class Watch:
    """Rows a second since the first rows came."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []

    def see(self, rows: int) -> None:
        """So many rows are there by now."""
        self._points.append((time.monotonic(), rows))

    def rate(self) -> float:
        """Between the first look and the last."""
        (began, before), (ended, rows) = self._points[0], self._points[-1]
        return (rows - before) / (ended - began)


def without_ray(folder: Path, rows: int) -> float:
    """In this process, on one core."""
    watch, seen = Watch(), 0
    with closing(load(str(folder / "models"), MODEL)) as server:
        answering = Answering(server, find_data([str(folder / "rows.npy")]), JobOptions(MODEL))
        for results, _ in answering.results(Cursor(0, rows // 2)):
            seen += len(results)
            watch.see(seen)
    return watch.rate()


@contextmanager
def nodes(count: int) -> Iterator[str]:
    """A cluster of so many nodes with one core each; its address."""
    ray_module()
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    running = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(count - 1):
            running.add_node(num_cpus=1, object_store_memory=STORE)
        yield running.address
    finally:
        running.shutdown()


def with_ray(folder: Path, count: int) -> tuple[float, float]:
    """Rows a second, and the seconds of the whole job."""
    watch = Watch()

    def see(progress: Progress) -> None:
        watch.see(progress.rows)

    with nodes(count) as address, connected(address) as cluster:
        assert cluster.actors == count, cluster
        job = RayJob(cluster, str(folder / "models"), find_data([str(folder / "rows.npy")]), JobOptions(MODEL))
        summary = job.run(str(folder / "out.parquet"), overwrite=True, progress=see)
        assert summary.rows == job.total, summary
    return watch.rate(), summary.seconds


def main() -> None:
    """Measure, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=880)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    take_cores(1)
    rates: dict[str, list[float]] = {"without Ray": [], "1 node": [], "2 nodes": []}
    seconds: dict[str, list[float]] = {"1 node": [], "2 nodes": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scaffold_efficientnet_lite0(folder / "models")
        shape = (arguments.rows, 3, 224, 224)
        np.save(folder / "rows.npy", np.random.default_rng(0).random(shape, np.float32) * 2 - 1)
        for _ in range(arguments.rounds):
            rates["without Ray"].append(without_ray(folder, arguments.rows))
            for count, word in ((1, "1 node"), (2, "2 nodes")):
                rate, took = with_ray(folder, count)
                rates[word].append(rate)
                seconds[word].append(took)
    base = median(rates["1 node"])
    for word, found in rates.items():
        took = f", whole job {median(seconds[word]):.1f} s" if word in seconds else ""
        print(
            f"{word:12} {median(found):8.1f} rows/s ({min(found):.1f} to {max(found):.1f}), {median(found) / base:.2f}{took}"
        )
    write_json(arguments.json, {"rows": arguments.rows, "rows_per_second": rates, "seconds": seconds})


if __name__ == "__main__":
    main()
