"""What happened between two answers: the smallest thing that is measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tcli_analyzer.evidence.disturbance import Disturbance, ProcessorTime
from tcli_analyzer.evidence.percentiles import Percentile, percentile
from tcli_analyzer.resources import GpuUse
from tcli_analyzer.target import Counters


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of load.

    Attributes:
        began: seconds since the epoch.
        seconds: length.
        latencies_ms: of each request that ended in it, since it was due; float64 [n], in the order of the answers.
        counters: the server's statistics, their growth over the window.
        processor: what became of the processor time of generator and server; None where that cannot be seen.
        memory_mib: resident memory of the server.
        gpu: None without one.
        items: inferences in a request.
        late_ms: how long after they were due requests were sent, the 99th percentile; 0 in a closed loop.
        overloaded: requests came faster than they were answered.
        sender_cores: cores that the thread which sends by a schedule took; 0 in a closed loop, which has none.
        sent_share: requests sent against those that were due; 1 in a closed loop.
    """

    began: float
    seconds: float
    latencies_ms: np.ndarray = field(repr=False)
    counters: Counters
    processor: ProcessorTime | None = None
    memory_mib: float = 0.0
    gpu: GpuUse | None = None
    items: int = 1
    late_ms: float = 0.0
    overloaded: bool = False
    sender_cores: float = 0.0
    sent_share: float = 1.0

    @property
    def throughput(self) -> float:
        """Inferences per second."""
        return len(self.latencies_ms) * self.items / self.seconds

    @property
    def latency_ms(self) -> float:
        """On average."""
        return float(self.latencies_ms.mean())

    @property
    def disturbance(self) -> Disturbance:
        """How much of its processor time others took."""
        return self.processor.disturbance if self.processor is not None else Disturbance.UNOBSERVED

    @property
    def is_clean(self) -> bool:
        """Whether a claim may rest on it, as far as that can be seen."""
        return self.disturbance in (Disturbance.CLEAN, Disturbance.UNOBSERVED)

    @property
    def cpu_ms_per_inference(self) -> float | None:
        """Processor time, generator included: a second witness, as it hardly depends on who else is busy."""
        done = len(self.latencies_ms) * self.items
        return 1e3 * self.processor.own / done if self.processor is not None and done else None


@dataclass(frozen=True)
class Windows:
    """Several windows of the same thing, read as one: rates of all together, percentiles of all latencies (never averaged ones)."""

    windows: Sequence[Window]

    @property
    def seconds(self) -> float:
        return sum(window.seconds for window in self.windows)

    @property
    def requests(self) -> int:
        return sum(len(window.latencies_ms) for window in self.windows)

    @property
    def throughput(self) -> float:
        """Inferences per second."""
        done = sum(len(window.latencies_ms) * window.items for window in self.windows)
        return done / self.seconds if self.seconds else 0.0

    @property
    def counters(self) -> Counters:
        return sum((window.counters for window in self.windows), Counters())

    @property
    def batch_avg(self) -> float:
        """Average size of an executed batch; 0 without any."""
        counted = self.counters
        return counted.inferences / counted.executions if counted.executions else 0.0

    @property
    def cpu_ms_per_inference(self) -> float | None:
        """As `Window.cpu_ms_per_inference`."""
        done = sum(len(window.latencies_ms) * window.items for window in self.windows)
        own = [window.processor.own for window in self.windows if window.processor is not None]
        return 1e3 * sum(own) / done if done and len(own) == len(self.windows) else None

    def percentile(self, share: float) -> Percentile:
        """With its interval: what ends together in one batch counts as one."""
        latencies = [window.latencies_ms for window in self.windows]
        together = np.concatenate(latencies) if latencies else np.empty(0)
        return percentile(together, share, max(1.0, self.batch_avg))

    @property
    def clean(self) -> "Windows":
        """Those that a claim may rest on."""
        return Windows([window for window in self.windows if window.is_clean])
