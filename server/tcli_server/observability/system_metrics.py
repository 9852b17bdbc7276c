"""Prometheus families of the machine."""

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tcli_server.hardware.gpu import GpuUsage
from tcli_server.observability.system import SystemPoller

_PER_GPU: tuple[tuple[str, str, str, Callable[[GpuUsage], float | None]], ...] = (
    ("nv_gpu_utilization", "gauge", "GPU utilization, 0.0 to 1.0", lambda gpu: gpu.utilization),
    ("nv_gpu_memory_total_bytes", "gauge", "GPU memory, bytes", lambda gpu: gpu.memory_total),
    ("nv_gpu_memory_used_bytes", "gauge", "GPU memory in use, bytes", lambda gpu: gpu.memory_used),
    ("nv_gpu_power_usage", "gauge", "GPU power, watts", lambda gpu: gpu.power_usage),
    ("nv_gpu_power_limit", "gauge", "GPU power limit, watts", lambda gpu: gpu.power_limit),
)


class SystemCollector(Collector):
    """A Prometheus collector of the machine.

    Args:
        poller: where the gauges come from; its `cpu` and `gpu` say which of them are shown.
    """

    def __init__(self, poller: SystemPoller) -> None:
        self._poller = poller
        # NVML counts energy from the driver's start, Triton's counter begins with the server.
        self._first_energy = {gpu.uuid: gpu.energy for gpu in poller.usage.gpus if gpu.energy is not None}

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        usage = self._poller.usage
        # There is no such pool. Triton shows one of no size likewise where it has none.
        yield single("nv_pinned_memory_pool_total_bytes", "Pinned memory pool, bytes", 0)
        yield single("nv_pinned_memory_pool_used_bytes", "Pinned memory pool in use, bytes", 0)
        if self._poller.gpu:
            yield from self._gpu_families(usage.gpus)
        if self._poller.cpu:
            yield single("nv_cpu_utilization", "Utilization of all cores, 0.0 to 1.0", usage.cpu_utilization)
            yield single("nv_cpu_memory_total_bytes", "Memory, bytes", usage.memory_total)
            yield single("nv_cpu_memory_used_bytes", "Memory in use (total minus available), bytes", usage.memory_used)

    def _gpu_families(self, gpus: list[GpuUsage]) -> Iterator[Metric]:
        for name, kind, documentation, read in _PER_GPU:
            family = Metric(name, documentation, kind)
            for gpu in gpus:
                value = read(gpu)
                if value is not None:
                    family.add_sample(name, {"gpu_uuid": gpu.uuid}, value)
            yield family
        energy = Metric("nv_energy_consumption", "GPU energy since the server started, joules", "counter")
        for gpu in gpus:
            if gpu.energy is not None:
                first = self._first_energy.setdefault(gpu.uuid, gpu.energy)
                energy.add_sample(energy.name, {"gpu_uuid": gpu.uuid}, max(0.0, gpu.energy - first))
        yield energy


def single(name: str, documentation: str, value: float) -> Metric:
    """A gauge without labels."""
    family = Metric(name, documentation, "gauge")
    family.add_sample(name, {}, value)
    return family
