"""NVIDIA GPUs through NVML; silent and cheap where there is none."""

from functools import cache


@cache
def gpu_count() -> int:
    """GPUs that NVML finds, 0 without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return 0
