"""Whether one commit serves tiny requests more slowly than another: both in turns on this machine, in this run.

    python benchmarks/compare.py REVISION REVISION [--rounds 7] [--seconds 2] [--threshold 0.05] [--json FILE]
    python benchmarks/compare.py --instructions REVISION REVISION [--threshold 0.05] [--json FILE]

For each load it prints second / first, with an interval that has the median in it 95 times of 100 (of order statistics, so it takes six
rounds or more). The second form compares instructions (`instructions.py`), which do not depend on other programs: one run is enough.

Status 1: the second is slower by more than the threshold, the whole interval is beyond it. Status 2: no such revision. Status 3: there is no
valgrind, or a server does not start. Only committed code is compared; the packages are those of this environment.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from statistics import median

from front_end import measure, write_repository
from instructions import NoValgrindError, instructions
from running import HERE, tcli_serve, write_json

_CONFIDENCE = 0.95
_REQUESTS = 300
_NOT_MEASURED = 3


@dataclass(frozen=True)
class Ratio:
    """Second / first, of a figure of which more is worse: time or work for a request."""

    load: str
    figure: str
    ratio: float
    low: float
    high: float

    def is_slower(self, threshold: float) -> bool:
        """Whether the second is proven to need more than that part more."""
        return self.low > 1 + threshold

    def __str__(self) -> str:
        return f"{self.load:>22} {self.figure:>28} {self.ratio:>6.3f} [{self.low:.3f}, {self.high:.3f}]"


def median_interval(values: list[float], confidence: float = _CONFIDENCE) -> tuple[float, float]:
    """The narrowest pair of order statistics, as many from both ends, that has the median between it so often.

    Raises:
        ValueError: there are too few values for that.
    """
    ordered, count = sorted(values), len(values)
    for left_out in range((count - 1) // 2, -1, -1):
        outside = 2 * sum(comb(count, below) for below in range(left_out + 1)) / 2**count
        if 1 - outside >= confidence:
            return ordered[left_out], ordered[-1 - left_out]
    raise ValueError(
        f"{count} rounds are too few for an interval that holds {confidence:.0%} of the time; fix: 6 or more"
    )


def compared(load: str, figure: str, first: list[float], second: list[float]) -> Ratio:
    """What paired readings say."""
    ratios = [after / before for before, after in zip(first, second, strict=True)]
    return Ratio(load, figure, median(ratios), *median_interval(ratios))


@contextlib.contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A work tree of a commit, for as long as this lasts."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), revision)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()


def by_time(first: Path, second: Path, rounds: int, seconds: float) -> Iterator[Ratio]:
    """Both servers under the same loads in turns."""
    with contextlib.ExitStack() as stack:
        repository = write_repository(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        servers = [stack.enter_context(tcli_serve(repository, checkout=tree)) for tree in (first, second)]
        for protocol in ("http", "grpc"):
            for concurrency in (1, 16):
                readings: list[list[tuple[float, float]]] = [[], []]
                for number in range(rounds):
                    for side in (0, 1) if number % 2 == 0 else (1, 0):
                        readings[side].append(measure(servers[side], protocol, concurrency, seconds))
                load = f"{protocol}, {concurrency} at once"
                times, work = ([[reading[index] for reading in side] for side in readings] for index in (0, 1))
                yield compared(load, "time for a request", *([1 / rate for rate in side] for side in times))
                yield compared(load, "processor time for a request", *work)


def by_instructions(first: Path, second: Path) -> Iterator[Ratio]:
    """Both under callgrind; two runs of the same code differ by some tenths of a percent at most."""
    before, after = instructions(first, _REQUESTS), instructions(second, _REQUESTS)
    for protocol, count in after.items():
        ratio = count / before[protocol]
        yield Ratio(f"{protocol}, 1 at once", "instructions for a request", ratio, ratio, ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="REVISION")
    parser.add_argument("second", metavar="REVISION")
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2, help="length of one measurement")
    parser.add_argument("--threshold", type=float, default=0.05)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    try:
        median_interval([1.0] * args.rounds)
        commits = [_git("rev-parse", "--verify", f"{revision}^{{commit}}") for revision in (args.first, args.second)]
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"git does not run: {error}")
    except subprocess.CalledProcessError as error:
        parser.error(f"no such commit: {error.cmd[-1].removesuffix('^{commit}')}")
    ratios: list[Ratio] = []
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(checked_out(commit)) for commit in commits)
        compare = (
            by_instructions(first, second) if args.instructions else by_time(first, second, args.rounds, args.seconds)
        )
        try:
            for ratio in compare:
                ratios.append(ratio)
                print(ratio, flush=True)
        except (NoValgrindError, RuntimeError) as error:
            print(error, file=sys.stderr)
            sys.exit(_NOT_MEASURED)
    described = {"first": commits[0], "second": commits[1], "ratios": [asdict(ratio) for ratio in ratios]}
    write_json(args.json, described)
    slower = [ratio for ratio in ratios if ratio.is_slower(args.threshold)]
    for ratio in slower:
        print(f"slower by more than {args.threshold:.0%}: {ratio.load}, {ratio.figure}", file=sys.stderr)
    sys.exit(1 if slower else 0)


if __name__ == "__main__":
    main()
