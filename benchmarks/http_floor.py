"""The HTTP server against the least that an ASGI server can do (`asgi_floor.py`), by NVIDIA's load generator, and beside it a server
that does nothing (`no_work.py`): more than that nobody can reach.

    pip install uvicorn
    python benchmarks/http_floor.py --perf-analyzer perf_analyzer [--rounds 5] [--seconds 1] [--json FILE]

A tiny model (add_sub, [1, 16]) at 1 and 16 requests at once. Rounds are interleaved, and only ratios of one run mean anything: load and
server share the processor. The server must have counted as many successes as the load generator says that it got answers.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from statistics import median

from front_end import write_repository
from grpc_engines import measure
from running import asgi_floor_server, no_work_server, tcli_serve, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--perf-analyzer", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a window; there are three")
    parser.add_argument("--against", type=Path, help="a checkout to compare with, instead of the floor")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        repository = write_repository(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        other = tcli_serve(repository, checkout=args.against) if args.against else asgi_floor_server()
        servers = {
            "tcli": stack.enter_context(tcli_serve(repository)),
            "floor": stack.enter_context(other),
            "no work": stack.enter_context(no_work_server()),
        }
        rates: dict[int, dict[str, list[float]]] = {
            concurrency: {name: [] for name in servers} for concurrency in (1, 16)
        }
        for number in range(args.rounds):
            for concurrency, row in rates.items():
                for name, server in servers.items():
                    row[name].append(measure(args.perf_analyzer, server, "add_sub", concurrency, args.seconds, "http"))
                    print(f"round {number + 1}: {concurrency} at once, {name}: {row[name][-1]:.0f}/s", file=sys.stderr)
        for concurrency, row in rates.items():
            for name in ("tcli", "no work"):
                ratios = sorted(one / floor for one, floor in zip(row[name], row["floor"], strict=True))
                print(f"{concurrency} at once, {name}: {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        write_json(args.json, rates)


if __name__ == "__main__":
    main()
