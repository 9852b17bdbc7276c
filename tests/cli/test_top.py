"""`tcli top` as a user runs it: once, as lines, and live on a terminal."""

import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fcntl import ioctl
from pathlib import Path

import pytest
from rich.cells import cell_len

import forked_command
import onnx_models
from repositories import write_model
from tcli_client.watch import Activity, ModelActivity, PercentilesOf
from tcli_server import Engine
from tcli_server.serving import ServeOptions, Server
from triton_cli.top_live import Screen
from triton_cli.top_order import Order, ordered
from triton_cli.top_view import table_lines

LOOPBACK = ServeOptions(http_address="127.0.0.1", grpc_address="127.0.0.1", http_port=0, grpc_port=0, metrics_port=0)
TOP = [sys.executable, "-m", "triton_cli", "top"]
PATIENCE = 60


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    for name in ("add_sub", "other"):
        write_model(models, name, onnx_models.add_sub(), 'backend: "onnxruntime" max_batch_size: 8')
    return models


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Server]:
    with Server(Engine(repository), LOOPBACK) as running:
        yield running


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forked_command.run("top", *arguments)


class Terminal:
    """A terminal in which the command runs, and all that it has written there."""

    def __init__(self, *arguments: str, columns: int = 100, rows: int = 12) -> None:
        self._near, far = pty.openpty()
        ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(far)
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [*TOP, *arguments], stdin=far, stdout=far, stderr=far, env=environment | {"TERM": "xterm"}, close_fds=True
        )
        self.far = far
        self.written = ""

    def until(self, text: str) -> None:
        """Read until it has written that, after what was read before."""
        read = ""
        while text not in read:
            read += os.read(self._near, 4096).decode(errors="replace")
        self.written += read

    def press(self, key: str) -> None:
        os.write(self._near, key.encode())

    def end(self) -> int:
        """The status."""
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._near)
        os.close(self.far)


@contextmanager
def terminal(*arguments: str, columns: int = 100, rows: int = 12) -> Iterator[Terminal]:
    opened = Terminal(*arguments, columns=columns, rows=rows)
    try:
        yield opened
    finally:
        opened.close()


def test_one_interval_as_text_and_as_json(server: Server):
    url, page = f"127.0.0.1:{server.http_port}", f"127.0.0.1:{server.metrics_port}"
    ran = run(url, "--metrics-url", page, "--once", "-i", "0.1", "-m", "add*")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert any(line.split()[:4] == ["add_sub", "1", "ready", "0"] for line in lines)
    assert "CPU " in lines[1]
    assert "other" not in ran.stdout
    assert "\x1b" not in ran.stdout
    document = json.loads(run(url, "--metrics-url", "none", "--once", "--json", "-i", "0.1", "--sort", "name").stdout)
    assert [model["name"] for model in document["models"]] == ["add_sub", "other"]
    assert document["models"][0]["percentiles_of"] == "none"
    assert (document["cpu_utilization"], document["gpus"]) == (None, [])
    assert "--metrics-url" in document["notes"][0]


def test_nobody_there_and_wrong_words_are_said(server: Server):
    ran = run("127.0.0.1:1", "--once")
    assert ran.returncode == 1
    assert "no server answers at http://127.0.0.1:1" in ran.stderr
    assert "fix:" in ran.stderr
    ran = run(f"127.0.0.1:{server.http_port}", "--metrics-url", "ftp://x", "--once")
    assert "'ftp://x' is not the address of a metrics page" in ran.stderr
    ran = run(f"127.0.0.1:{server.http_port}", "--metrics-url", "none", "--once", "-i", "0.1", "-m", "ad_sub")
    assert "none of the server's 2 models has a name that --model asks for" in ran.stdout


def test_lines_end_when_nobody_reads_them(server: Server):
    command = [*TOP, f"127.0.0.1:{server.http_port}", "--metrics-url", "none", "--json", "-i", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert b"add_sub" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == b""


def test_a_terminal_is_drawn_sorted_and_left_as_it_was(server: Server):
    url = f"127.0.0.1:{server.http_port}"
    with terminal(url, "--metrics-url", f"127.0.0.1:{server.metrics_port}", "-i", "0.1", columns=60) as screen:
        screen.until("add_sub")
        screen.until("sort: rate")
        screen.press("l")
        screen.until("sort: latency")
        screen.press("q")
        assert screen.end() == 0
        assert termios.tcgetattr(screen.far) == screen.before
    with terminal(url, "--metrics-url", "none", "-i", "0.1") as screen:
        screen.until("add_sub")
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
        assert termios.tcgetattr(screen.far) == screen.before


def test_a_server_that_goes_and_comes_back_is_shown(repository: Path):
    with Server(Engine(repository), LOOPBACK) as first:
        port = first.http_port
        screen = Terminal(f"127.0.0.1:{port}", "--metrics-url", "none", "-i", "0.1")
        screen.until("add_sub")
    try:
        screen.until("no answer: ")
        with Server(Engine(repository), replace(LOOPBACK, http_port=port)):
            while "no answer" in screen.written or "add_sub" not in screen.written:
                screen.written = ""
                screen.until("q quit")
            screen.press("q")
            assert screen.end() == 0
    finally:
        screen.close()


def models(count: int) -> list[ModelActivity]:
    return [
        ModelActivity(
            f"model_{place:03}",
            "1",
            "READY",
            "",
            place,
            place % 3,
            pending=1,
            p99_ms=2.5,
            percentiles_of=PercentilesOf.INTERVAL,
        )
        for place in range(count)
    ]


def test_narrow_terminals_lose_the_columns_that_matter_least():
    wide, narrow = table_lines(models(3), 200)[0].split(), table_lines(models(3), 44)[0].split()
    assert set(narrow) < set(wide)
    assert {"MODEL", "REQ/S", "P99"} <= set(narrow)
    assert all(len(line) <= 30 for line in table_lines(models(3), 30))


def test_characters_that_take_two_places_leave_the_columns_where_they_are():
    named = [replace(model, name=name) for model, name in zip(models(2), ("模型" * 30, "plain"), strict=True)]
    headings, chinese, plain = table_lines(named, None)
    assert {cell_len(row[: row.index(" 1 ")]) for row in (chinese, plain)} == {headings.index("VER") - 1}
    assert all(cell_len(line) <= 30 for line in table_lines(named, 30))


def test_models_are_sorted_most_first():
    many = models(200)
    assert ordered(many, Order.RATE)[0].name == "model_199"
    assert [one.name for one in ordered(many, Order.ERRORS)[:2]] == ["model_002", "model_005"]
    assert ordered(many, Order.BATCH) == many


def test_what_a_server_says_is_wrong_takes_one_line():
    screen = Screen("here", 1.0, Order.NAME, lambda _: True, heard=1e18, problem="one\n\x1b[2Jtwo\n" * 1000)
    assert len(screen.drawn(40, 10).plain.splitlines()) == 10


def test_two_hundred_models_scroll():
    screen = Screen("here", 1.0, Order.NAME, lambda _: True, heard=1e18, activity=Activity(1.0, models(200)))
    top = screen.drawn(80, 12).plain.splitlines()
    assert len(top) <= 12
    assert any(line.startswith("model_000") for line in top)
    for _ in range(500):
        screen.press("down")
        screen.drawn(80, 12)
    bottom = screen.drawn(80, 12).plain
    assert "model_199" in bottom
    assert "of 200 models" in bottom
    screen.press("up")
    assert "model_199" not in screen.drawn(80, 12).plain
