"""On a machine with a GPU: providers and engines give the CPU's answers. `benchmarks/gpu_answers.py` has the ways, and more to say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tcli_server.hardware.gpu import gpu_count

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "gpu_answers.py"


@pytest.mark.skipif(not gpu_count(), reason="no GPU")
def test_every_way_that_a_gpu_runs_a_model_gives_the_answers_of_the_cpu(tmp_path: Path):
    command = [sys.executable, BENCHMARK, "--json", tmp_path / "found.json", "--seconds", "0"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = {row["name"]: row for row in json.loads((tmp_path / "found.json").read_text())}
    assert result.returncode == 0, rows
    if not any(row["difference"] is not None for name, row in rows.items() if "onnxruntime" not in name):
        pytest.skip(f"no library for the GPU is here: {[row['reason'] for row in rows.values()]}")
