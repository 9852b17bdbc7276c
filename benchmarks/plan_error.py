"""How far `tcli plan` is off: one replica at the rates that a plan could give it, predicted and measured.

    taskset -c 0 tcli analyze -m NAME --model-repository DIR --batch-sizes 1,4 --instance-counts 1
    python benchmarks/plan_error.py --repository DIR --from analysis/NAME [--shares 0.3,0.5,0.7] [--seconds 15]

`DIR` holds that model with the batch size and the one instance that are asked. The server has core 0, where the analysis was, too; `tcli perf`
sends from core 1, requests of a Poisson process over HTTP. Shares are of what the replica is predicted to take at most.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from running import tcli_serve
from tcli_analyzer.earlier import read_earlier
from tcli_analyzer.load import ClosedLoad
from tcli_analyzer.planning.sharing import Balance, share
from tcli_analyzer.prediction.forecast import forecast, forecast_at
from tcli_analyzer.prediction.scenario import stored_tables
from tcli_analyzer.prediction.what_if import stored_setup

SIMULATED = 20_000


def measured(url: str, model: str, rate: float, seconds: float) -> tuple[float, float, float]:
    """Answers per second, p50 and p99 in milliseconds, of one window of an open loop."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "perf.csv"
        command = ["taskset", "-c", "1", sys.executable, "-m", "triton_cli", "perf", "-m", model, "-u", url]
        command += ["--request-rate-range", f"{rate:.3f}", "--request-distribution", "poisson", "-r", "1"]
        command += ["-p", f"{1000 * seconds:.0f}", "-f", str(file)]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, timeout=3 * seconds + 60)
        row = next(csv.DictReader(file.open()))
    return float(row["Inferences/Second"]), float(row["p50 latency"]) / 1e3, float(row["p99 latency"]) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--from", dest="analysis", type=Path, required=True)
    parser.add_argument("--max-batch-size", type=int, default=4)
    parser.add_argument("--shares", default="0.3,0.5,0.7")
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    earlier = read_earlier(options.analysis)
    tables = stored_tables(earlier)
    table = next(one for one in tables.tables if one.instances == 1 and one.largest >= options.max_batch_size)
    setup = stored_setup(table, options.max_batch_size)
    outstanding = ClosedLoad(2 * options.max_batch_size)
    most = forecast(setup, table.service, outstanding, SIMULATED, 1, tables.open_factor).throughput
    print(f"{earlier.model}: {table.label}, predicted to take {most:.1f} requests/s at most")
    print("requests/s  answered/s  p50 ms predicted / measured  p99 ms predicted / measured")
    with tcli_serve(options.repository, under=("taskset", "-c", "0")) as server:
        measured(f"127.0.0.1:{server.http}", earlier.model, 0.3 * most, 2.0)
        for part in map(float, options.shares.split(",")):
            rate = part * most
            moments = share(rate, 1, Balance.RANDOM, SIMULATED)
            found = forecast_at(setup, table.service, moments, 1, tables.open_factor)
            answered, p50, p99 = measured(f"127.0.0.1:{server.http}", earlier.model, rate, options.seconds)
            print(
                f"{rate:10.1f}  {answered:10.1f}  {found.latency_ms(50):13.1f} / {p50:<11.1f}  "
                f"{found.latency_ms(99):13.1f} / {p99:<11.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
