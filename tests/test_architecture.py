"""The arrows between the packages, and what a lean start must not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "triton_cli": ROOT / "triton_cli",
    "tcli_analyzer": ROOT / "analyzer" / "tcli_analyzer",
    "tcli_server": ROOT / "server" / "tcli_server",
    "tcli_client": ROOT / "client" / "tcli_client",
    "tcli_batch": ROOT / "client" / "tcli_batch",
}
MAY_IMPORT = {
    "triton_cli": {"tcli_analyzer", "tcli_batch", "tcli_server", "tcli_client"},
    "tcli_analyzer": {"tcli_server", "tcli_client"},
    "tcli_server": set(),
    "tcli_client": set(),
    "tcli_batch": {"tcli_server", "tcli_client"},
}
HEAVY = ("numpy", "onnxruntime", "onnx", "pandas", "grpc", "tritonclient", "PIL", "matplotlib")


def imported_packages(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_one_way(package: str):
    files = list(PACKAGES[package].rglob("*.py"))
    assert files
    for file in files:
        forbidden = imported_packages(file) & PACKAGES.keys() - MAY_IMPORT[package] - {package}
        assert not forbidden, f"{file.relative_to(ROOT)} imports {sorted(forbidden)}"


# What a room of the server may import, besides itself and the plain files that know nothing of rooms (LEAVES). The
# observability room is two: what everybody writes to, and what reads the engine and is served.
LEAVES = {
    "copying",
    "messages",
    "errors",
    "datatypes",
    "signature",
    "spec",
    "version",
    "file_kind",
    "random_tensor",
    "request",
    "window",
    "temporary",
}
BOOKS = {
    "observability.access_entry",
    "observability.access_log",
    "observability.custom_metrics",
    "observability.distributions",
    "observability.log",
    "observability.metrics_options",
    "observability.statistics",
    "observability.written_file",
}
ROOMS = {
    "hardware": set(),
    "repository": set(),
    "trial": set(),
    "backends": {"hardware", "trial"},
    "caching": set(),
    "scheduling": {"backends"},
    "models": {"caching", "scheduling", "backends", "repository", "hardware"},
    "calls": set(),
    "tracing": set(),
    "pending": set(),
    "forks": set(),
    "apart": {"hardware"},
    "options": {"models", "scheduling", "tracing"},
    "yaml_nodes": {"repository"},
    "engine": {"caching", "models", "scheduling", "calls", "options", "pending", "forks", "hardware", "tracing"},
    "protocols": {"engine", "hardware", "tracing"},
    "observability": {"backends", "caching", "engine", "models", "protocols", "hardware"},
    "serving": {"engine", "protocols", "observability"},
    "workers": {"serving", "engine", "options", "models", "protocols", "observability", "hardware", "tracing"},
    "proof": {"apart", "engine", "options", "models", "scheduling", "backends", "repository", "hardware", "trial"},
    "zoo": {"backends", "repository", "models", "proof", "hardware"},
}


def server_imports() -> dict[str, set[str]]:
    """Module -> the modules of the server that it imports when it runs; names without the package."""
    server = PACKAGES["tcli_server"]
    modules = {
        ".".join(file.relative_to(server).with_suffix("").parts)
        .removesuffix(".__init__")
        .removesuffix("__init__"): file
        for file in server.rglob("*.py")
    }
    imports: dict[str, set[str]] = {}
    for module, file in modules.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
        names: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tcli_server."):
                parent = node.module.removeprefix("tcli_server.")
                submodules = {f"{parent}.{alias.name}" for alias in node.names} & modules.keys()
                names |= submodules if len(submodules) == len(node.names) else {parent, *submodules}
        imports[module] = names & modules.keys() - {module}
    return imports


def test_the_servers_rooms_look_only_downwards():
    for module, imported in server_imports().items():
        room = module.split(".")[0]
        if not room:  # the package itself gathers the public names
            continue
        allowed = ROOMS.get(room, set()) | LEAVES | {room}
        for other in imported:
            is_book = other in BOOKS or other == "observability"
            assert other.split(".")[0] in allowed or is_book, f"{module} imports {other}"


def test_no_two_files_of_the_server_need_each_other():
    imports = server_imports()
    reached: dict[str, set[str]] = {}
    for module in imports:
        found, waiting = set(), [module]
        while waiting:
            fresh = imports[waiting.pop()] - found
            found |= fresh
            waiting += fresh
        reached[module] = found
    cycles = sorted(module for module, found in reached.items() if module in found)
    assert cycles == []


def test_one_file_knows_the_name_of_a_backend():
    """And what it writes about itself; nobody else decides by it."""
    server = PACKAGES["tcli_server"]
    knowing = {
        str(file.relative_to(server))
        for file in server.rglob("*.py")
        if "backends/onnxruntime" not in str(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in ("onnxruntime", "onnxruntime_onnx")
    }
    assert knowing == set()


STUB = sorted((PACKAGES["tcli_server"] / "backends" / "python" / "stub").rglob("*.py"))


@pytest.mark.parametrize("file", STUB, ids=lambda file: file.name)
def test_what_runs_under_the_models_interpreter_needs_only_numpy_and_python_3_10(file: Path):
    foreign = imported_packages(file) - sys.stdlib_module_names - {"numpy"}
    assert not foreign, f"imports {sorted(foreign)}"
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))
    levels = [node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert max(levels, default=0) <= 1, "imports from outside of its folder"


@pytest.mark.parametrize("start", ["import triton_cli", "from triton_cli.app import app; app(['--help'])"])
def test_a_lean_start(start: str):
    program = (
        f"import sys\ntry:\n    {start}\nexcept SystemExit:\n    pass\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
