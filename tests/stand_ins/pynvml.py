"""One GPU, of which nothing is known but its name."""

import os


class NVMLError(Exception):
    pass


def nvmlInit() -> None:
    pass


def nvmlDeviceGetCount() -> int:
    return int(os.environ.get("STAND_IN_GPUS", "1"))


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    return index


def nvmlDeviceGetUUID(handle: int) -> str:
    return f"GPU-{handle}"


def _not_supported(handle: int) -> None:
    raise NVMLError


nvmlDeviceGetUtilizationRates = nvmlDeviceGetMemoryInfo = nvmlDeviceGetPowerUsage = _not_supported
nvmlDeviceGetEnforcedPowerLimit = nvmlDeviceGetTotalEnergyConsumption = _not_supported
nvmlDeviceGetPowerManagementLimit = _not_supported
