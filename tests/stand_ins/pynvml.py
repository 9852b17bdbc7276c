"""One GPU, of which nothing is known but its name."""


class NVMLError(Exception):
    pass


def nvmlInit() -> None:  # noqa: N802
    pass


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return 1


def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802
    return index


def nvmlDeviceGetUUID(handle: int) -> str:  # noqa: N802
    return f"GPU-{handle}"


def _not_supported(handle: int) -> None:
    raise NVMLError


nvmlDeviceGetUtilizationRates = nvmlDeviceGetMemoryInfo = nvmlDeviceGetPowerUsage = _not_supported  # noqa: N816
nvmlDeviceGetEnforcedPowerLimit = nvmlDeviceGetTotalEnergyConsumption = _not_supported  # noqa: N816
nvmlDeviceGetPowerManagementLimit = _not_supported  # noqa: N816
