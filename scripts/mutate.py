"""Puts small faults into the code, one at a time, and runs the nearest tests: what survives is not tested.

    python scripts/mutate.py scheduling                  # 100 mutants of a room, the same ones each time
    python scripts/mutate.py protocols/http --count 40 --seed 2 --tests tests/server/http tests/conformance

It works on a copy of the checkout, prints each survivor with its line, and at the end how many died. A mutant that makes
the tests hang dies too. Survivors are read by a person: a mutant that changes nothing a user could notice is equivalent
and does not count.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVER = Path("server/tcli_server")
TESTS = {
    "request.py": ["tests/server/scheduling", "tests/server/test_engine.py"],
    "scheduling": ["tests/server/scheduling", "tests/server/test_engine.py"],
    "models": ["tests/server/models", "tests/server/test_engine.py"],
    "repository": ["tests/server/repository", "tests/server/models/test_check.py"],
    "protocols/http": ["tests/server/http", "tests/conformance"],
    "protocols/grpc": ["tests/server/grpc", "tests/conformance"],
    "protocols": ["tests/server/http", "tests/server/grpc", "tests/conformance"],
}

_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult}


@dataclass(frozen=True)
class Mutant:
    """One fault: the whole changed text of a file, and what was done to it."""

    file: Path
    line: int
    what: str
    text: str


def mutants(file: Path) -> Iterator[Mutant]:
    """Every fault that can be put into a file."""
    source = (ROOT / file).read_text(encoding="utf-8")
    count = len(list(ast.walk(ast.parse(source))))
    for index in range(count):
        tree = ast.parse(source)
        node = list(ast.walk(tree))[index]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            continue
        for what in _changes(tree, node):
            yield Mutant(file, getattr(node, "lineno", 0), what, ast.unparse(tree))
            tree = ast.parse(source)
            node = list(ast.walk(tree))[index]


def _changes(tree: ast.AST, node: ast.AST) -> Iterator[str]:
    """Change a tree in place, one way after the other; each is undone by whoever reads the tree anew."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARISONS:
            node.ops = [_COMPARISONS[type(operator)]()]
            yield f"{type(operator).__name__} -> {type(node.ops[0]).__name__}"
        case ast.BinOp(op=operator) if type(operator) in _OPERATORS and not _is_text(node):
            node.op = _OPERATORS[type(operator)]()
            yield f"{type(operator).__name__} -> {type(node.op).__name__}"
        case ast.AugAssign(op=operator) if type(operator) in _OPERATORS:
            node.op = _OPERATORS[type(operator)]()
            yield f"{type(operator).__name__}= -> {type(node.op).__name__}="
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield f"-> {type(node.op).__name__}"
        case ast.UnaryOp(op=ast.Not()):
            node.op = ast.UAdd()
            if _replace(tree, node, ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])):
                yield "not removed"
        case ast.Constant(value=bool()):
            node.value = not node.value
            yield f"{not node.value} -> {node.value}"
        case ast.Constant(value=int()) if abs(node.value) < 1 << 40:
            node.value += 1
            yield f"{node.value - 1} -> {node.value}"
        case ast.If() | ast.While() | ast.IfExp() if not _is_typing(node.test):
            node.test = ast.Constant(not isinstance(node, ast.While) and False)
            yield "condition -> False"
        case ast.Expr(value=ast.Call() | ast.Await()):
            if _replace(tree, node, ast.Pass()):
                yield "call removed"
        case ast.Return(value=ast.AST()):
            node.value = ast.Constant(None)
            yield "return -> None"
        case ast.Break() | ast.Continue():
            if _replace(tree, node, ast.Pass()):
                yield f"{type(node).__name__.lower()} removed"


def _is_text(node: ast.BinOp) -> bool:
    return any(isinstance(part, ast.JoinedStr) or _is_string(part) for part in (node.left, node.right))


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_typing(test: ast.AST) -> bool:
    return ast.unparse(test) == "TYPE_CHECKING"


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> bool:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, ast.copy_location(new, old))
                ast.fix_missing_locations(tree)
                return True
            if isinstance(value, list) and any(item is old for item in value):
                value[[item is old for item in value].index(True)] = ast.copy_location(new, old)
                ast.fix_missing_locations(tree)
                return True
    return False


def survives(mutant: Mutant, copy: Path, tests: list[str], seconds: float) -> bool:
    """Whether the tests pass with the fault in."""
    target = copy / mutant.file
    original = target.read_text(encoding="utf-8")
    target.write_text(mutant.text, encoding="utf-8")
    try:
        return _run(copy, tests, seconds) == 0
    finally:
        target.write_text(original, encoding="utf-8")


def _run(copy: Path, tests: list[str], seconds: float) -> int:
    path = os.pathsep.join(str(copy / part) for part in (".", "server", "client", "analyzer", "tests"))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    with subprocess.Popen(
        command,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return -1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", help="a file or folder of the server, for example scheduling")
    parser.add_argument("--count", type=int, default=100, help="mutants to try")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", nargs="+", help="tests to run instead of the nearest")
    args = parser.parse_args()
    place = SERVER / args.place
    files = sorted((ROOT / place).rglob("*.py")) if (ROOT / place).is_dir() else [ROOT / place]
    every = [mutant for file in files for mutant in mutants(file.relative_to(ROOT))]
    chosen = random.Random(args.seed).sample(every, min(args.count, len(every)))
    tests = args.tests or TESTS[max((key for key in TESTS if args.place.startswith(key)), key=len)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".venv"))
        start = time.monotonic()
        if _run(copy, tests, 1800) != 0:
            raise SystemExit("the tests fail before anything is changed")
        bound = 30 + 5 * (time.monotonic() - start)
        survivors = []
        for number, mutant in enumerate(chosen, 1):
            if survives(mutant, copy, tests, bound):
                survivors.append(mutant)
                print(f"survived: {mutant.file}:{mutant.line}: {mutant.what}", flush=True)
            print(f"\r{number}/{len(chosen)}", end="\r", file=sys.stderr)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants died ({len(every)} possible)")


if __name__ == "__main__":
    main()
