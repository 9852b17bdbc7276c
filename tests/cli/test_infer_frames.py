"""What `tcli infer` does about videos where PyAV is not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def infer(tmp_path):
    """Runs in a folder of its own, under a Python that finds no PyAV."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['av'] = None\n")
    path = os.pathsep.join([str(hidden), os.environ["PYTHONPATH"]])

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "triton_cli", "infer", *arguments],
            **{"cwd": folder, "env": os.environ | {"PYTHONPATH": path}},
            **{"capture_output": True, "text": True, "timeout": 120, "check": False},
        )

    return run


def test_a_video_says_what_brings_it_before_a_server_is_asked(infer, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    ran = infer(tmp_path, "-u", "127.0.0.1:1", "clip.mp4")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "error: 'clip.mp4': to read videos PyAV is missing\n  fix: pip install \"tcli[video]\"\n"


def test_a_folder_of_frames_needs_nothing(infer, tmp_path, colour_urls):
    (tmp_path / "shots").mkdir()
    for index, colour in enumerate([(255, 0, 0)] * 9 + [(0, 0, 255)] * 3):
        Image.new("RGB", (9, 9), colour).save(tmp_path / "shots" / f"{index}.png")
    ran = infer(tmp_path, "--frames", "-m", "colours", "-u", colour_urls["grpc"], "shots")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(
        "Video 'shots':\n    0:00:00.000  1.000000 (0) red: hot\n    0:00:00.360  1.000000 (2) blue\n    12 frames"
    )
