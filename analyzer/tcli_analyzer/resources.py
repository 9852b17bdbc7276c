"""What the measured process uses: resident memory and, where there is a GPU, what all do with it."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self

import psutil

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class GpuUse:
    """All GPUs together.

    Attributes:
        utilisation_percent: average over the GPUs, 0 to 100.
        memory_mib: used memory, summed over the GPUs, by all processes.
    """

    utilisation_percent: float
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used since the last `ResourceMeter.take`.

    Attributes:
        memory_mib: resident memory of this process.
        gpu: None where there is none.
    """

    memory_mib: float
    gpu: GpuUse | None


@cache
def gpu_handles() -> tuple[Any, ...]:
    """NVML's handles of this machine's GPUs; empty where there is none."""
    import pynvml

    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        return tuple(pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount()))
    return ()


class ResourceMeter:
    """Meters this process from one `take` to the next; `sample` in between refines GPU utilisation."""

    def __enter__(self) -> Self:
        self._process = psutil.Process()
        self._gpus = gpu_handles()
        self._gpu_samples: list[GpuUse] = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gpu_samples.clear()

    def sample(self) -> None:
        if not self._gpus:
            return
        import pynvml

        with suppress(pynvml.NVMLError):
            busy = [pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu for gpu in self._gpus]
            used = [pynvml.nvmlDeviceGetMemoryInfo(gpu).used for gpu in self._gpus]
            self._gpu_samples.append(GpuUse(sum(busy) / len(busy), sum(used) / MIB))

    def take(self) -> Usage:
        self.sample()
        samples, self._gpu_samples = self._gpu_samples, []
        gpu = None
        if samples:
            busy = sum(s.utilisation_percent for s in samples) / len(samples)
            gpu = GpuUse(busy, max(s.memory_mib for s in samples))
        return Usage(self._process.memory_info().rss / MIB, gpu)
