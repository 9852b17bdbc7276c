"""What native code writes to descriptor 2: ONNX Runtime's lines become the log's, nothing else changes, nothing is lost."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors are not redirected here")

PATIENCE = 60
PLAIN = "2026-11-26 05:58:01.123456789 [W:onnxruntime:Default, file.cc:12 func] plain text"
COLOURED = "\x1b[1;31m2026-11-26 05:58:01.12 [E:onnxruntime:, other.cc:7 operator()] two\nlines\n\x1b[m"

PROLOGUE = """
import os, signal, sys
from tcli_server.observability.log import LOG, LogOptions, configure_log
from tcli_server.observability.native_log import NativeLog
options = LogOptions(verbose=1, file=sys.argv[1] if len(sys.argv) > 1 else "")
configure_log(options)
native = NativeLog(options)
def say(text):
    os.write(2, text.encode(errors="surrogateescape"))
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROLOGUE + code, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, errors="surrogateescape", timeout=PATIENCE, check=False
    )


def test_lines_of_onnx_runtime_are_lines_of_the_log():
    done = run(f"say({PLAIN!r} + chr(10)); say({COLOURED!r}); native.close()")
    first, second = done.stderr.splitlines()
    assert re.fullmatch(r"W\d{4} [\d:.]+ \d+ onnxruntime\] \[file\.cc:12 func\] plain text", first)
    assert re.fullmatch(r"E\d{4} [\d:.]+ \d+ onnxruntime\] \[other\.cc:7 operator\(\)\] two\\nlines", second)


def test_a_real_session_logs_there():
    done = run("""
import onnx_models, onnxruntime
chatty = onnxruntime.SessionOptions()
chatty.log_severity_level = 0
onnxruntime.InferenceSession(onnx_models.identity(), chatty, providers=["CPUExecutionProvider"])
native.close()""")
    lines = done.stderr.splitlines()
    assert any(line.endswith("Session successfully initialized.") for line in lines)
    assert all(re.match(r"I\d{4} [\d:.]+ \d+ onnxruntime\] \[", line) for line in lines)


def test_they_go_where_the_log_goes(tmp_path: Path):
    done = run(f"say('other\\n'); say({COLOURED!r}); LOG.info('mine'); native.close()", tmp_path / "log")
    assert done.stderr == "other\n"
    assert {line.split("] ", 1)[1] for line in (tmp_path / "log").read_text().splitlines()} == {
        "[other.cc:7 operator()] two\\nlines",
        "mine",
    }


def test_everything_else_passes_unchanged_and_in_its_order():
    other = "a line\n\x1b[31mred\x1b[m\nbroken \udcff\udcfe\n2026-11-26 05:58:01.12 [W:else, a] b\nlong "
    done = run(f"say({other[:20]!r}); say({other[20:]!r} + 'x' * 200_000 + '\\nhalf'); native.close()")
    assert done.stderr == other + "x" * 200_000 + "\nhalf"


def test_half_a_line_does_not_wait_for_the_other_half():
    with subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + "say('no end of line'); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert os.read(process.stderr.fileno(), 100) == b"no end of line"
        process.stdin.close()


@pytest.mark.parametrize(("end", "status"), [
    ("os._exit(3)", 3),
    ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ("os.abort()", -signal.SIGABRT),
    ("native.close(); sys.exit(0)", 0),
    ("", 0),
], ids=["_exit", "SIGKILL", "abort", "close", "end"])  # fmt: skip
def test_last_words_are_not_lost_however_it_ends(end: str, status: int):
    done = run(f"say({COLOURED!r}); say('last words'); {end}")
    assert done.returncode == status
    assert "last words" in done.stderr
    assert "onnxruntime] [other.cc:7 operator()] two" in done.stderr


def test_a_fatal_error_shows_where_python_was():
    done = run("import ctypes; ctypes.string_at(0)")
    assert done.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in done.stderr


def test_native_code_that_holds_the_interpreter_may_write_more_than_a_pipe_takes():
    done = run("""
import ctypes
text = b"y" * 1023 + b"\\n"
for _ in range(1000):
    ctypes.PyDLL(None).write(2, text, len(text))  # PyDLL keeps the interpreter's lock
native.close()""")
    assert done.returncode == 0
    assert done.stderr == ("y" * 1023 + "\n") * 1000


def test_afterwards_descriptor_2_is_as_before():
    done = run("native.close(); native.close(); say('direct\\n'); print('python', file=sys.stderr)")
    assert done.stderr == "direct\npython\n"


def test_a_filter_that_is_killed_costs_lines_and_nothing_else():
    done = run("""
import psutil
(filter,) = psutil.Process().children()
filter.kill()
filter.wait()
for _ in range(10):
    try:
        say("lost\\n")
    except OSError:
        pass
LOG.info("mine")
native.close()""")
    assert done.returncode == 0
    assert done.stderr.endswith("] mine\n")
