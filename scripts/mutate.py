"""Puts small faults into the code, one at a time, and runs the nearest tests: what survives is not tested.

    python scripts/mutate.py scheduling                  # 100 mutants of a room, the same ones each time
    python scripts/mutate.py request.py calls.py --count 40 --seed 2
    python scripts/mutate.py models/registry.py --lines 120 131 --tests tests/server/models tests/conformance

It works on a copy of the checkout, prints each survivor with its line, and at the end how many died. What survives the
nearest tests of a file is given to those of its room, too. A mutant that makes a test hang dies.
Survivors are read by a person: a mutant that changes nothing a user could notice is equivalent and does not count. Log
lines, assertions, annotations, decorators and what is written into a message are left alone.
"""

import argparse
import ast
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVER = Path("server/tcli_server")
_ENGINE = ["tests/server/test_engine_refusals.py", "tests/server/test_engine.py"]
_NVIDIA = "tests/conformance/test_tritonclient.py"
_JUDGING = ["tests/server/models", "tests/server/repository", *_ENGINE, "tests/cli/test_repo.py"]
_REPOSITORY = "tests/server/repository"


def _http(*names: str) -> list[str]:
    return [f"tests/server/http/test_{name}.py" for name in names]


_CONNECTION = _http("connection", "client_gone", "draining")
TESTS = {
    "": [*_ENGINE, "tests/server/models", "tests/server/scheduling", "tests/server/test_fork.py"],
    "request.py": ["tests/server/test_request.py", "tests/server/scheduling", *_ENGINE],
    "calls.py": ["tests/server/test_calls.py", *_ENGINE],
    "window.py": ["tests/server/test_window.py", "tests/server/grpc/test_decoupled_stream.py"],
    "pending.py": ["tests/server/test_request.py", *_ENGINE],
    "trial": ["tests/server/trial", "tests/server/backends/onnxruntime/test_batch_proof.py"],
    "proof": ["tests/server/proof", "tests/cli/test_repo_deep.py"],
    "scheduling": ["tests/server/scheduling", *_ENGINE],
    "scheduling/quickness.py": [f"tests/server/scheduling/{tests}.py" for tests in ("test_quickness", "test_quick")],
    "scheduling/ragged.py": ["tests/server/ragged"],
    "models": ["tests/server/models", *_ENGINE],
    "models/check.py": _JUDGING,
    "models/choose_backend.py": _JUDGING,
    "models/draft.py": _JUDGING,
    "models/missing.py": _JUDGING,
    "models/overview.py": ["tests/cli/test_repo.py", "tests/server/models"],
    "models/placement.py": _JUDGING,
    "repository": ["tests/server/repository", "tests/server/models/test_check.py"],
    **{
        f"repository/{place}": [f"{_REPOSITORY}/{test}.py" for test in tests]
        for tests, places in {
            ("test_words_of_reader", "test_names", "test_config_file", "test_config_mistakes"): ("pbtxt",),
            ("test_words_of_signatures", "test_autocomplete"): ("autocomplete.py", "signature.py"),
            ("test_config_file", "test_config_text"): ("config_file.py", "config_text.py"),
            ("test_words_of_rules", "test_config_rules"): (
                "config_rules.py",
                "path_rules.py",
                "queue_rules.py",
                "unsupported.py",
            ),
            ("test_ragged_rules",): ("ragged_rules.py", "ragged_tensors.py"),
            ("test_positions", "test_words_of_reader"): ("positions.py", "problem.py", "report.py"),
            ("test_layout",): ("entries.py", "labels.py", "layout.py", "staging.py", "text_file.py"),
        }.items()
        for place in places
    },
    "tracing": ["tests/server/tracing", "tests/server/test_trace_settings.py", "tests/cli/test_serve_traces.py"],
    "protocols": ["tests/server/http", "tests/server/grpc", _NVIDIA],
    "protocols/classification.py": ["tests/server/test_classification.py", *_http("infer")],
    "protocols/mailbox.py": ["tests/server/test_mailbox.py", *_http("infer")],
    "protocols/tensors.py": ["tests/server/test_tensors.py", *_http("json_tensors", "infer_request", "infer")],
    "protocols/texts.py": ["tests/server/test_texts.py"],
    "protocols/turn.py": ["tests/server/test_turn.py"],
    "protocols/http": ["tests/server/http", _NVIDIA],
    "protocols/http/application.py": [*_http("application", "connection"), "tests/server/test_abandoned_bodies.py"],
    "protocols/http/compression.py": _http("compression", "infer"),
    "protocols/http/connection.py": [
        *_CONNECTION,
        *_http("continue", "patience", "limits", "back_pressure", "strictness"),
    ],
    "protocols/http/errors.py": _http("errors", "compression"),
    "protocols/http/event_stream.py": _http("event_stream"),
    "protocols/http/exchange.py": [*_CONNECTION, *_http("infer", "compression")],
    "protocols/http/generate.py": _http("generate"),
    "protocols/http/generate_request.py": _http("generate_request"),
    "protocols/http/generate_response.py": _http("generate", "event_stream"),
    "protocols/http/generation.py": _http("generate", "event_stream"),
    "protocols/http/infer.py": _http("infer", "application", "abandoned"),
    "protocols/http/infer_request.py": _http("infer_request", "infer"),
    "protocols/http/infer_response.py": _http("infer_response", "json_tensors", "infer"),
    "protocols/http/json_leaves.py": _http("json_tensors", "json_pieces"),
    "protocols/http/json_pieces.py": _http("json_tensors", "json_pieces"),
    "protocols/http/json_tensors.py": _http("json_tensors", "infer"),
    "protocols/http/json_text.py": _http("json_tensors", "json_pieces"),
    "protocols/http/limits.py": _http("limits"),
    "protocols/http/messages.py": _http("messages", "application"),
    "protocols/http/reader.py": _http("strictness", "connection", "continue", "limits"),
    "protocols/http/repository_request.py": _http("repository_request"),
    "protocols/http/routes.py": _http("connection", "infer"),
    "protocols/http/server.py": [*_CONNECTION, *_http("patience", "limits")],
    "protocols/grpc": ["tests/server/grpc", _NVIDIA],
    "protocols/grpc/flows.py": ["tests/server/grpc/test_decoupled_stream.py"],
}
"""Place -> its nearest tests, in the order in which they run; the longest key that fits a file counts. What lives through
the tests of a single file is tried with those of its folder, too."""

_LONGEST_TEST_SECS = 30
"""No test needs a third of it, so one that does hangs."""

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
class Site:
    """A place in the code where a fault can be put: the node of that index as `ast.walk` counts."""

    file: Path
    index: int
    line: int


@dataclass(frozen=True)
class Mutant:
    """One fault: the whole changed text of a file, and what was done to it."""

    site: Site
    what: str
    text: str


def sites(file: Path) -> Iterator[Site]:
    """Every place of a file where a fault can be put."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    spared = {id(part) for node in ast.walk(tree) for root in _spared(node) for part in ast.walk(root)}
    for index, node in enumerate(ast.walk(tree)):
        if id(node) not in spared and _fault(node) is not None:
            yield Site(file, index, getattr(node, "lineno", 0))


def mutant(site: Site, source: str) -> Mutant:
    """The fault at a place of a file with this content."""
    tree = ast.parse(source)
    node = list(ast.walk(tree))[site.index]
    fault = _fault(node)
    assert fault is not None
    what, new = fault
    _replace(tree, node, new)
    return Mutant(site, what, ast.unparse(tree))


def _spared(node: ast.AST) -> list[ast.AST]:
    """What below a node no user would notice, or what is only words."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="LOG")))):
            return [node]
        case ast.JoinedStr() | ast.Assert():
            return [node]
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [*node.decorator_list, *([node.returns] if node.returns else [])]
        case ast.ClassDef():
            return list(node.decorator_list)
        case ast.keyword(arg="strict"):  # of `zip`, which is an assertion
            return [node]
        case ast.AnnAssign() | ast.arg():
            return [node.annotation] if node.annotation else []
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return [node]
    return []


def _fault(node: ast.AST) -> tuple[str, ast.AST] | None:
    """What can be done to a node, and what it becomes; None where nothing can."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARISONS:
            other = _COMPARISONS[type(operator)]()
            return f"{type(operator).__name__} -> {type(other).__name__}", _with(node, ops=[other])
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) if type(operator) in _OPERATORS and not _is_text(node):
            other = _OPERATORS[type(operator)]()
            return f"{type(operator).__name__} -> {type(other).__name__}", _with(node, op=other)
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            return f"-> {type(other).__name__}", _with(node, op=other)
        case ast.UnaryOp(op=ast.Not()):
            return "not removed", ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])
        case ast.Constant(value=bool()):
            return f"{node.value} -> {not node.value}", ast.Constant(not node.value)
        case ast.Constant(value=int()) if abs(node.value) < 1 << 40:
            return f"{node.value} -> {node.value + 1}", ast.Constant(node.value + 1)
        case ast.If() | ast.While() | ast.IfExp():
            return "condition -> False", _with(node, test=ast.Constant(False))
        case ast.Expr(value=ast.Call() | ast.Await()):
            return "call removed", ast.Pass()
        case ast.Return(value=ast.AST() as value) if not _is_false(value):
            return "return -> None", ast.Return(ast.Constant(None))
        case ast.Break() | ast.Continue():
            return f"{type(node).__name__.lower()} removed", ast.Pass()
    return None


def _with(node: ast.AST, **fields: object) -> ast.AST:
    new = copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _is_text(node: ast.BinOp | ast.AugAssign) -> bool:
    parts = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
    return any(isinstance(part, ast.JoinedStr) or _is_string(part) for part in parts)


def _is_false(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and not node.value


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, ast.copy_location(new, old))
            elif isinstance(value, list):
                value[:] = [ast.copy_location(new, old) if item is old else item for item in value]
    ast.fix_missing_locations(tree)


def survives(fault: Mutant, checkout: Path, tests: Sequence[str], seconds: float) -> bool:
    """Whether the tests pass with the fault in."""
    target = checkout / fault.site.file
    original = target.read_text(encoding="utf-8")
    target.write_text(fault.text, encoding="utf-8")
    try:
        return _run(checkout, tests, seconds) == 0
    finally:
        target.write_text(original, encoding="utf-8")


def _run(checkout: Path, tests: Sequence[str], seconds: float) -> int:
    path = os.pathsep.join(str(checkout / part) for part in (".", "server", "client", "analyzer", "tests"))
    options = [f"faulthandler_timeout={_LONGEST_TEST_SECS}", "faulthandler_exit_on_timeout=true"]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += [part for option in options for part in ("-o", option)]
    temporary = checkout.parent / "tmp"  # of its own, for tests that look at what is left there
    temporary.mkdir(exist_ok=True)
    with subprocess.Popen(
        [*command, *tests],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return -1
        finally:
            with contextlib.suppress(ProcessLookupError):  # also what a broken server left running
                os.killpg(process.pid, signal.SIGKILL)
            shutil.rmtree(temporary, ignore_errors=True)


def _bound(checkout: Path, tests: tuple[str, ...], known: dict[tuple[str, ...], float]) -> float:
    """Seconds after which these tests hang, by how long they take without a fault."""
    if tests not in known:
        start = time.monotonic()
        if _run(checkout, tests, 1800) != 0:
            raise SystemExit(f"the tests fail before anything is changed: {' '.join(tests)}")
        known[tests] = 30 + 5 * (time.monotonic() - start)
    return known[tests]


def _nearest(file: Path) -> list[tuple[str, ...]]:
    """The tests of a file, in rounds: what lives through one meets the next."""
    place = file.relative_to(SERVER).as_posix()
    key, *wider = sorted((key for key in TESTS if key and place.startswith(key)), key=len, reverse=True) or [""]
    nearest = tuple(TESTS[key])
    if not wider or not all(test.endswith(".py") for test in nearest):
        return [nearest]
    more = tuple(test for test in TESTS[wider[0]] if test not in nearest)
    return [nearest, more] if more else [nearest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", help="files or folders of the server, for example scheduling")
    parser.add_argument("--count", type=int, default=100, help="mutants to try")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lines", type=int, nargs="+", help="try all that begin in these lines instead of a sample")
    parser.add_argument("--tests", nargs="+", help="tests to run instead of the nearest")
    args = parser.parse_args()
    places = [ROOT / SERVER / place for place in args.places]
    files = [file for place in places for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    every = [site for file in files for site in sites(file.relative_to(ROOT))]
    if args.lines:
        chosen = [site for site in every if site.line in args.lines]
    else:
        chosen = random.Random(args.seed).sample(every, min(args.count, len(every)))
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "checkout"
        shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache", ".venv"))
        bounds: dict[tuple[str, ...], float] = {}
        died = 0
        for number, site in enumerate(chosen, 1):
            rounds = [tuple(args.tests)] if args.tests else _nearest(site.file)
            source = (checkout / site.file).read_text(encoding="utf-8")
            fault = mutant(site, source)
            if all(survives(fault, checkout, tests, _bound(checkout, tests, bounds)) for tests in rounds):
                line = source.splitlines()[site.line - 1].strip()
                print(f"survived: {site.file}:{site.line}: {fault.what}: {line}", flush=True)
            else:
                died += 1
            print(f"\r{number}/{len(chosen)}", end="\r", file=sys.stderr, flush=True)
    print(f"{died} of {len(chosen)} mutants died ({len(every)} possible)")


if __name__ == "__main__":
    main()
