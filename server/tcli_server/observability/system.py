"""The poller behind the machine's gauges: CPU, memory and GPUs, read at an interval so that scrapes cost nothing."""

import threading
import time
from dataclasses import dataclass, field

import psutil

from tcli_server.hardware.gpu import GpuUsage, gpu_count, gpu_usage
from tcli_server.observability.log import LOG


@dataclass(frozen=True, slots=True)
class SystemUsage:
    """The machine at one moment.

    Attributes:
        cpu_utilization: of all cores together over the last interval, 0.0 to 1.0.
        memory_total: bytes.
        memory_used: bytes that could not be had without swapping: total minus available, as Triton counts.
    """

    cpu_utilization: float
    memory_total: int
    memory_used: int
    gpus: list[GpuUsage] = field(default_factory=list)


_CPU_INTERVAL_SECS = 0.1


class SystemPoller:
    """Reads the machine every half `interval_ms`, as Triton does, in a thread of its own.

    Args:
        interval_ms: `--metrics-interval-ms`.
        cpu: read CPU and memory.
        gpu: read the GPUs, where there are any.
    """

    def __init__(self, interval_ms: int, cpu: bool = True, gpu: bool = True) -> None:
        self._pause = min(interval_ms / 2000, threading.TIMEOUT_MAX)
        self.cpu = cpu
        self.gpu = gpu and gpu_count() > 0
        self._stopped = threading.Event()
        self._cpu = self._cpu_read_at = 0.0
        self._thread = threading.Thread(target=self._poll, name="metrics-poller", daemon=True)
        self.usage = self._first()

    def start(self) -> None:
        """Begin to poll, if there is anything to read."""
        if self.cpu or self.gpu:
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _poll(self) -> None:
        failing = False
        while not self._stopped.wait(self._pause):
            try:
                self.usage = self._read()
            except (
                Exception
            ) as error:  # no descriptor left, a driver that is being replaced: the next time may be better
                if not failing:
                    LOG.warning("cannot read the machine's gauges, which stay as they are: %s", error)
                failing = True
            else:
                failing = False

    def _first(self) -> SystemUsage:
        try:
            psutil.cpu_percent(None)  # the first call only starts the first interval
            self._cpu_read_at = time.monotonic()
            return self._read()
        except Exception as error:
            LOG.warning("cannot read the machine's gauges yet: %s", error)
            return SystemUsage(0.0, 0, 0)

    def _read(self) -> SystemUsage:
        gpus = gpu_usage() if self.gpu else []
        if not self.cpu:
            return SystemUsage(0.0, 0, 0, gpus)
        memory = psutil.virtual_memory()
        return SystemUsage(self._cpu_utilization(), memory.total, memory.total - memory.available, gpus)

    def _cpu_utilization(self) -> float:
        """Over an interval long enough for the kernel's ticks of 10 ms to say something."""
        now = time.monotonic()
        if now - self._cpu_read_at >= _CPU_INTERVAL_SECS:
            self._cpu_read_at = now
            self._cpu = psutil.cpu_percent(None) / 100
        return self._cpu
