"""What happened between two answers: the smallest thing that is measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

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
        sender_cores: of a core, what the busiest thread took that only sends or receives; 0 where there is none, as in a closed loop in
            this process.
        sent_share: requests sent against those that were due; 1 in a closed loop.
        most_counted: requests of this load that can be among those in `counters`, which a server is asked for a moment later.
        flaw: why it shows something else than the model: the load generator's own limit, or figures that do not add up; empty where
            nothing is wrong.
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
    most_counted: int = 0
    flaw: str = ""

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

    @cached_property
    def counters(self) -> Counters:
        return sum((window.counters for window in self.windows), Counters())

    @cached_property
    def latencies_ms(self) -> np.ndarray:
        """Of all requests; float64 [n]."""
        return np.concatenate([window.latencies_ms for window in self.windows]) if self.windows else np.empty(0)

    @property
    def latency_avg_ms(self) -> float:
        """nan where nothing was answered."""
        return float(self.latencies_ms.mean()) if self.requests else math.nan

    @property
    def queue_ms(self) -> float:
        return self._per_request(self.counters.queue_ns)

    @property
    def compute_input_ms(self) -> float:
        return self._per_request(self.counters.compute_input_ns)

    @property
    def compute_infer_ms(self) -> float:
        return self._per_request(self.counters.compute_infer_ns)

    @property
    def compute_output_ms(self) -> float:
        return self._per_request(self.counters.compute_output_ns)

    @property
    def other_ms(self) -> float:
        """Latency that the server's statistics do not account for: submitting, handing over threads, replying."""
        parts = self.queue_ms + self.compute_input_ms + self.compute_infer_ms + self.compute_output_ms
        return max(0.0, self.latency_avg_ms - parts)

    @property
    def is_counted(self) -> bool:
        """Whether the server's statistics tell anything: batches and the parts of latencies are known then only."""
        return self.counters.requests > 0

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

    @property
    def lost_share(self) -> float | None:
        """Of the processor time that was wanted, what others took, 0 to 1; None where that cannot be seen."""
        seen = [window.processor for window in self.windows if window.processor is not None]
        if not seen or len(seen) < len(self.windows):
            return None
        lost = sum(one.lost for one in seen)
        wanted = sum(max(one.own + one.lost, one.elapsed) for one in seen)
        return lost / wanted if wanted else 0.0

    @property
    def memory_mib(self) -> float:
        """Resident memory of the server, the largest seen."""
        return max((window.memory_mib for window in self.windows), default=0.0)

    @property
    def gpu(self) -> GpuUse | None:
        """Average utilisation and largest memory; None without a GPU."""
        uses = [window.gpu for window in self.windows if window.gpu]
        if not uses:
            return None
        return GpuUse(sum(use.utilisation_percent for use in uses) / len(uses), max(use.memory_mib for use in uses))

    def latency_ms(self, share: float) -> float:
        """This percentile, 0.99 for p99, however few requests it is of; see `percentile`."""
        return float(np.percentile(self.latencies_ms, 100 * share)) if self.requests else math.nan

    def percentile(self, share: float) -> Percentile:
        """With its interval: what ends together in one batch counts as one."""
        return percentile(self.latencies_ms, share, max(1.0, self.batch_avg))

    @property
    def flaw(self) -> str:
        """What is wrong with more than half of those that nobody disturbed; empty where that is nothing."""
        clean = self.clean.windows
        flaws = [window.flaw for window in clean if window.flaw]
        return flaws[0] if 2 * len(flaws) > len(clean) else ""

    @property
    def clean(self) -> "Windows":
        """Those that a claim may rest on."""
        return Windows([window for window in self.windows if window.is_clean])

    def _per_request(self, nanoseconds: int) -> float:
        return nanoseconds / self.counters.requests / 1e6 if self.counters.requests else 0.0
