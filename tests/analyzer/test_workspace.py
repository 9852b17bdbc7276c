"""Working copies: what a killed analysis leaves is gone with the next one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from repositories import add_sub_config, write_model
from tcli_analyzer.subject import find_model
from tcli_analyzer.workspace import Workspace

_WORK = """
import sys, time
from pathlib import Path
from tcli_analyzer.subject import find_model
from tcli_analyzer.workspace import Workspace
with Workspace(find_model([Path(sys.argv[1])], "m")) as workspace:
    print(workspace.current, flush=True)
    time.sleep(3600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is locked there")
def test_what_a_killed_analysis_left_goes_with_the_next_and_the_model_stays(tmp_path, monkeypatch):
    temporary, repository = tmp_path / "temporary", tmp_path / "repository"
    temporary.mkdir()
    write_model(repository, "m", b"any", add_sub_config())
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    command = [sys.executable, "-c", _WORK, str(repository)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with Workspace(find_model([repository], "m")):
            assert left.is_dir()  # in use
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert left.is_dir()
    with Workspace(find_model([repository], "m")) as workspace:
        assert not left.is_dir()
        assert (workspace.current / "m" / "1").is_dir()
    assert not list(temporary.glob("tcli-*"))
    assert list((repository / "m" / "1").iterdir())
