"""What is made of NVML's answers, on a machine whose NVML is a file of this test: two GPUs, one of which tells little."""

import json
import subprocess
import sys
from pathlib import Path

NVML = """
class NVMLError(Exception): pass
class Told:
    def __init__(self, **values): self.__dict__.update(values)
def nvmlInit(): pass
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetUUID(handle): return [b"GPU-one", "GPU-two"][handle]
def told(value):
    def answer(handle):
        if handle: raise NVMLError("not supported")
        return value
    return answer
nvmlDeviceGetUtilizationRates = told(Told(gpu=37, memory=5))
nvmlDeviceGetMemoryInfo = told(Told(total=80_000, used=3_000, free=77_000))
nvmlDeviceGetPowerUsage = told(123_456)
nvmlDeviceGetPowerManagementLimit = told(700_000)
nvmlDeviceGetTotalEnergyConsumption = told(9_876_543)
"""
ASK = """
import dataclasses, json
from tcli_server.hardware.gpu import gpu_count, gpu_usage, gpu_uuid
print(json.dumps([gpu_count(), [gpu_uuid(index) for index in range(3)], [dataclasses.asdict(gpu) for gpu in gpu_usage()]]))
"""


def asked(folder: Path, nvml: str) -> list:
    (folder / "pynvml.py").write_text(nvml)
    code = f"import sys; sys.path.insert(0, {str(folder)!r}){ASK}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_readings_are_in_the_units_that_metrics_have(tmp_path: Path):
    count, uuids, (first, second) = asked(tmp_path, NVML)
    assert (count, uuids) == (2, ["GPU-one", "GPU-two", ""])
    assert first == {
        "uuid": "GPU-one",
        "utilization": 0.37,
        "memory_total": 80_000,
        "memory_used": 3_000,
        "power_usage": 123.456,
        "power_limit": 700.0,
        "energy": 9876.543,
    }
    assert second.pop("uuid") == "GPU-two"
    assert set(second.values()) == {None}


def test_a_machine_whose_driver_does_not_answer_has_no_gpu(tmp_path: Path):
    broken = NVML.replace("def nvmlInit(): pass", "def nvmlInit(): raise NVMLError('no driver')")
    assert asked(tmp_path, broken) == [0, ["", "", ""], []]
