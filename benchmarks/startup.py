"""How long a user waits, and what an idle server holds: `tcli --help` against the import of its libraries; `tcli serve` with one
model until it is ready, its resident memory a second later, and until it has ended after SIGTERM.

    python benchmarks/startup.py [--repository FOLDER] [--rounds 5] [--against CHECKOUT] [--json FILE]

Without --repository the model is the tiny one of front_end.py. With --against, the server of another checkout of this project is
started in turns with this one. All of it runs from compiled files, as after an installation; the first start, which compiles
them, does not count.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from statistics import median

import psutil

from front_end import write_repository
from running import HERE, tcli_serve, write_json

IDLE_SECS = 1.0


@dataclass(frozen=True)
class Life:
    """Seconds from start to ready, resident bytes when idle, and seconds from SIGTERM to the end."""

    ready: float
    resident: int
    stop: float


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - start


def life(repository: Path, checkout: Path) -> Life:
    """Start a server, leave it alone, and stop it."""
    start = time.perf_counter()
    with tcli_serve(repository, checkout=checkout) as ports:
        ready = time.perf_counter() - start
        time.sleep(IDLE_SECS)
        process = psutil.Process(ports.pid)
        resident = process.memory_info().rss
        stopping = time.perf_counter()
    return Life(ready, resident, time.perf_counter() - stopping)


def show(name: str, lives: list[Life]) -> None:
    """Medians."""
    ready, resident, stop = (median(column) for column in zip(*map(astuple, lives), strict=True))
    print(f"tcli serve{name}: ready after {ready:.2f} s, {resident / 1e6:.0f} MB resident, stopped after {stop:.2f} s")


def measure(args: argparse.Namespace) -> None:
    """Print the medians, and keep what they are of if that is asked for."""
    seconds("-c", "import typer, rich")
    seconds("-m", "triton_cli", "--help")
    pairs = [(seconds("-c", "import typer, rich"), seconds("-m", "triton_cli", "--help")) for _ in range(args.rounds)]
    imports, helps = median(p[0] for p in pairs), median(p[1] for p in pairs)
    ratio = median(p[1] / p[0] for p in pairs)
    print(f"import typer, rich: {imports:.3f} s; tcli --help: {helps:.3f} s; ratio {ratio:.2f}")
    checkouts = {"": HERE.parent, **({" before": args.against} if args.against else {})}
    lives: dict[str, list[Life]] = {name: [] for name in checkouts}
    with contextlib.ExitStack() as stack:
        models = args.repository or write_repository(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        for checkout in checkouts.values():
            life(models, checkout)
        for number in range(args.rounds):
            for name in checkouts if number % 2 == 0 else reversed(checkouts):
                lives[name].append(life(models, checkouts[name]))
    for name, found in lives.items():
        show(name, found)
    figures = {f"serve{name}": [asdict(one) for one in found] for name, found in lives.items()}
    write_json(args.json, {"imports": [pair[0] for pair in pairs], "help": [pair[1] for pair in pairs], **figures})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="a checkout to compare with")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as compiled:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = compiled
        measure(args)


if __name__ == "__main__":
    main()
