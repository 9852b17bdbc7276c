"""Fixtures that several rooms share."""

import gc
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from colour_models import write_colour_models
from repositories import write_standard_models
from tcli_server import Engine
from tcli_server.hardware.cores import usable_cores
from tcli_server.serving import ServeOptions, Server

# Programs that tests start find the helpers here as the tests do.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the programs that tests stop by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

_ALONE = "TCLI_TEST_ALONE"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Have the collector of garbage leave alone what stays to the end: with all tests collected it takes 0.3 s, and an engine that
    ends asks for it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests wait, for processes to start and for moments to come."""
    return usable_cores() + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of long tests first, as one of them that is begun last keeps one core busy and the others idle; then those of many."""
    tests = Counter(item.path for item in items)
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: (item.path not in long, -tests[item.path]))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is marked `own_process` in a new one, in which nothing has happened and nothing else goes on."""
    if pyfuncitem.get_closest_marker("own_process") is None or _ALONE in os.environ:
        return None
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--override-ini=addopts=--import-mode=importlib",
        pyfuncitem.nodeid,
    ]
    ended = subprocess.run(
        command, cwd=pyfuncitem.config.rootpath, env={**os.environ, _ALONE: "1"}, capture_output=True, text=True
    )
    if ended.returncode:
        pytest.fail(ended.stdout + ended.stderr, pytrace=False)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write what no encoding has as its number in what a test logged: it could not be sent from one process to another."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


LOOPBACK = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
"""A server for tests: free ports, loopback only."""


@pytest.fixture(scope="session")
def standard_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with small models of every kind; read only."""
    return write_standard_models(tmp_path_factory.mktemp("standard") / "models")


@pytest.fixture(scope="session")
def server(standard_repository: Path) -> Iterator[Server]:
    """A real server of `standard_repository`; tests must not change its models."""
    with Server(Engine(standard_repository), LOOPBACK) as running:
        yield running


@pytest.fixture(scope="session")
def http_url(server: Server) -> str:
    """host:port"""
    return f"127.0.0.1:{server.http_port}"


@pytest.fixture(scope="session")
def grpc_url(server: Server) -> str:
    """host:port"""
    return f"127.0.0.1:{server.grpc_port}"


@pytest.fixture(scope="session")
def colour_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """URLs by protocol of a real server of image classifiers; tests must not change its models."""
    repository = write_colour_models(tmp_path_factory.mktemp("colours") / "models")
    with Server(Engine(repository), LOOPBACK) as running:
        yield {"http": f"http://127.0.0.1:{running.http_port}", "grpc": f"grpc://127.0.0.1:{running.grpc_port}"}
