"""How long a user waits: `tcli --help` against the import of its libraries, and `tcli serve` until it is ready.

python benchmarks/startup.py [--repository model_repository] [--rounds 5]
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from running import tcli_serve


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    pairs = [(seconds("-c", "import typer, rich"), seconds("-m", "triton_cli", "--help")) for _ in range(args.rounds)]
    imports, helps = median(p[0] for p in pairs), median(p[1] for p in pairs)
    ratio = median(p[1] / p[0] for p in pairs)
    print(f"import typer, rich: {imports:.3f} s; tcli --help: {helps:.3f} s; ratio {ratio:.2f}")
    if args.repository:
        times = []
        for _ in range(args.rounds):
            start = time.perf_counter()
            with tcli_serve(args.repository):
                times.append(time.perf_counter() - start)
        print(f"tcli serve, from start to ready: {median(times):.2f} s")


if __name__ == "__main__":
    main()
