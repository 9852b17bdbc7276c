"""What NVML tells of the NVIDIA GPUs; on a machine without one, nothing, without a word and almost for free."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True, slots=True)
class GpuUsage:
    """One GPU at one moment; None for what this GPU does not tell.

    Attributes:
        utilization: share of the last sampling period in which a kernel ran, 0.0 to 1.0.
        memory_total: bytes; likewise memory_used.
        power_usage: watts; likewise power_limit.
        energy: joules since the driver was loaded.
    """

    uuid: str
    utilization: float | None
    memory_total: int | None
    memory_used: int | None
    power_usage: float | None
    power_limit: float | None
    energy: float | None


@cache
def _nvml() -> Any | None:
    """The initialised NVML binding, None where there is no driver."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the deprecated PyPI package of the same module name warns at import
        try:
            import pynvml

            pynvml.nvmlInit()
        except Exception:  # no package, no library, no driver, no permission: there is no GPU to speak of
            return None
    return pynvml


@cache
def gpu_count() -> int:
    """NVIDIA GPUs that this machine has, 0 where NVML finds none.

    ONNX Runtime names the CUDA provider as available even without a GPU, so this is what decides about KIND_GPU.
    """
    nvml = _nvml()
    return int(nvml.nvmlDeviceGetCount()) if nvml is not None else 0


def gpu_usage() -> list[GpuUsage]:
    """Every GPU as it is now, in NVML's order."""
    nvml = _nvml()
    return [] if nvml is None else [_read(nvml, handle) for handle in _handles()]


@cache
def gpu_uuid(index: int) -> str:
    """A GPU's UUID as `nvidia-smi -L` shows it, empty if there is no such GPU."""
    nvml = _nvml()
    return _text(nvml.nvmlDeviceGetUUID(_handles()[index])) if nvml is not None and index < gpu_count() else ""


@cache
def _handles() -> list[Any]:
    nvml = _nvml()
    return [] if nvml is None else [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(gpu_count())]


def _read(nvml: Any, handle: Any) -> GpuUsage:
    def ask(question: Callable[[Any], Any]) -> Any | None:
        try:
            return question(handle)
        except nvml.NVMLError:  # not supported by this GPU, or not allowed in this container
            return None

    rates, memory = ask(nvml.nvmlDeviceGetUtilizationRates), ask(nvml.nvmlDeviceGetMemoryInfo)
    milliwatts, limit = ask(nvml.nvmlDeviceGetPowerUsage), ask(nvml.nvmlDeviceGetPowerManagementLimit)
    millijoules = ask(nvml.nvmlDeviceGetTotalEnergyConsumption)
    return GpuUsage(
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        utilization=None if rates is None else rates.gpu / 100,
        memory_total=None if memory is None else memory.total,
        memory_used=None if memory is None else memory.used,
        power_usage=_thousandth(milliwatts),
        power_limit=_thousandth(limit),
        energy=_thousandth(millijoules),
    )


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
