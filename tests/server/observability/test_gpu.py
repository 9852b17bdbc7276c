"""NVML readings, where there is a GPU; silence where there is none."""

import subprocess
import sys

import pytest

from tcli_server.hardware.gpu import gpu_count, gpu_usage, gpu_uuid

needs_gpu = pytest.mark.skipif(gpu_count() == 0, reason="no NVIDIA GPU here")


def test_asking_is_silent_everywhere():
    code = "from tcli_server.hardware.gpu import *; print(gpu_count() == len(gpu_usage()), gpu_uuid(99) == '')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True True\n", "")


@needs_gpu
def test_readings_are_plausible():
    for index, gpu in enumerate(gpu_usage()):
        assert gpu.uuid == gpu_uuid(index)
        assert gpu.uuid.startswith("GPU-")
        assert gpu.utilization is None or 0 <= gpu.utilization <= 1
        assert gpu.memory_total is None or gpu.memory_total > gpu.memory_used
        assert gpu.power_usage is None or 0 < gpu.power_usage < 2000
        assert gpu.energy is None or gpu.energy > 0
