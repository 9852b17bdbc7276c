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
}
MAY_IMPORT = {
    "triton_cli": {"tcli_analyzer", "tcli_server", "tcli_client"},
    "tcli_analyzer": {"tcli_server", "tcli_client"},
    "tcli_server": set(),
    "tcli_client": set(),
}
HEAVY = ("numpy", "onnxruntime", "onnx", "pandas", "grpc", "tritonclient", "PIL", "plotly")


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


def test_a_backend_never_sees_the_wire_and_a_protocol_never_sees_a_backend():
    server = PACKAGES["tcli_server"]
    for room, other in (("backends", "protocols"), ("scheduling", "protocols"), ("protocols", "backends")):
        for file in (server / room).rglob("*.py"):
            assert f"tcli_server.{other}" not in file.read_text(encoding="utf-8"), file


@pytest.mark.parametrize("start", ["import triton_cli", "from triton_cli.app import app; app(['--help'])"])
def test_a_lean_start(start: str):
    program = (
        f"import sys\ntry:\n    {start}\nexcept SystemExit:\n    pass\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
