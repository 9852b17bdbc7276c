"""The first moments of a command."""

import shutil
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tcli_server.version import VERSION
from triton_cli.app import COMMANDS, app

INTERRUPTED = """
import sys
from triton_cli.__main__ import main

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "triton_cli.app":
            raise KeyboardInterrupt

assert "triton_cli.app" not in sys.modules
sys.meta_path.insert(0, Interrupting())
main()
"""


def test_ctrl_c_while_commands_are_loaded_ends_without_a_traceback():
    ran = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


TERMINATED = """
import os, signal, sys
from triton_cli.__main__ import main

class Terminating:
    def find_spec(self, name, path=None, target=None):
        if name == "triton_cli.app":
            os.kill(1, signal.SIGTERM)
            os._exit(0)

sys.meta_path.insert(0, Terminating())
main()
"""


def test_the_first_process_of_a_container_can_be_stopped_while_it_still_starts():
    alone = ("unshare", "--pid", "--fork", "--kill-child")
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("no process can be the first one here")
    ran = subprocess.run([*alone, sys.executable, "-c", TERMINATED], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (128 + signal.SIGTERM, "", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands_says_of_each_what_its_own_help_says(command: str):
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert " ".join(shown.output.split("\n\n")[1].split()) == COMMANDS[command]
    assert "[[" not in shown.output


@pytest.mark.parametrize("group", [(), ("repo",), ("model",), ("deploy",)])
def test_lists_of_commands_say_all_in_80_columns(group: tuple[str, ...], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*group, "--help"]).output
    assert "..." not in shown.partition("Commands:")[2]
    assert max(map(len, shown.splitlines())) <= 80


def test_it_says_which_version_it_is():
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.output) == (0, f"tcli {VERSION}\n")
