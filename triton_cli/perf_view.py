"""What `tcli perf` shows: perf_analyzer's lines, and what they lack: intervals, the generator, disturbances."""

import textwrap
from collections.abc import Sequence

from rich.markup import escape

from tcli_analyzer.evidence.disturbance import Disturbance
from tcli_analyzer.evidence.percentiles import Percentile
from tcli_analyzer.load import ClosedLoad, Load
from tcli_analyzer.load.failing import LoadFailedError
from tcli_analyzer.perf.csv_report import percentiles
from tcli_analyzer.perf.measured import Measured, PerfWindow
from tcli_analyzer.perf.measurement import PerfOptions
from triton_cli.console import err, out, printable


class PerfView:
    """Shows each load when it is measured, and all of them at the end."""

    def __init__(self, options: PerfOptions, verbose: bool) -> None:
        self._options = options
        self._verbose = verbose

    def settings(self, loads: str, data: str, server: str) -> None:
        """What is going to be done."""
        options = self._options
        judged = f"p{options.percentile}" if options.percentile else "average"
        lines = [f"Batch size: {options.items}", f"Server: {server}", f"Input data: {data}", loads]
        if options.requests:
            lines.append(f"Requests: exactly {options.requests}, in one window")
        else:
            mode = "count_windows" if options.window_requests else "time_windows"
            lines.append(f'Using "{mode}" mode for stabilization')
            lines.append(f"Stabilizing using {judged} latency and throughput")
            if options.window_requests:
                lines.append(f"Minimum number of samples in each window: {options.window_requests}")
            else:
                lines.append(f"Measurement window: {1e3 * options.interval_seconds:g} msec")
        if options.latency_limit_ms:
            lines.append(f"Latency limit: {options.latency_limit_ms:g} msec, {judged}")
        _say("*** Measurement Settings ***")
        for line in lines:
            _say(f"  {line}")
        _say("")

    def begins(self, load: Load) -> None:
        if isinstance(load, ClosedLoad):
            _say(f"Request concurrency: {load.concurrency}")
        else:
            _say(f"Request Rate: {load.rate:.6g} inference requests per second")

    def window(self, load: Load, number: int, window: PerfWindow) -> None:  # noqa: ARG002
        if not self._verbose:
            return
        seen = window.window
        judged = 1e3 * self._options.judged_ms(seen.latencies_ms)
        name = f"p{self._options.percentile}" if self._options.percentile else "Avg"
        disturbed = "" if seen.is_clean else f" ({seen.disturbance})"
        _say(
            f"  Pass [{number}] throughput: {seen.throughput:.6g} infer/sec. {name} latency: {judged:.0f} usec{disturbed}"
        )

    def result(self, result: Measured) -> None:
        """One load."""
        self._client(result)
        self._server(result)
        self._generator(result)
        self._remarks(result)
        _say("")

    def summary(self, results: Sequence[Measured]) -> None:
        """All loads, in a line each."""
        judged = f"p{self._options.percentile}" if self._options.percentile else "Average"
        _say(f"Inferences/Second vs. Client {judged} Batch Latency")
        for result in results:
            latency = 1e3 * self._options.judged_ms(result.latencies_ms)
            marks = [] if result.stable is not False else ["not stable"]
            marks += ["over the limit"] if result.over_limit else []
            marks += ["disturbed"] if result.disturbance is Disturbance.DISTURBED else []
            marks += ["generator shows"] if result.generator_limit else []
            _parts(
                f"{_named(result.load)},",
                [f"throughput: {result.throughput:.6g} infer/sec,", f"latency {latency:.0f} usec"]
                + ([f"({', '.join(marks)})"] if marks else []),
                indent=2,
            )

    def _client(self, result: Measured) -> None:
        _say("  Client:")
        _say(f"    Request count: {result.requests}")
        _say(f"    Throughput: {result.throughput:.6g} infer/sec")
        if result.response_throughput:
            _say(f"    Response throughput: {result.response_throughput:.6g} responses/sec")
        _parts(
            f"    Avg latency: {result.average_us:.0f} usec", [f"(standard deviation {result.deviation_us:.0f} usec)"]
        )
        for share in percentiles(self._options.percentile):
            _say_percentile(share, result.percentile(share / 100))
        if isinstance(result.load, ClosedLoad):
            return
        _parts(
            "    Of which",
            [f"waiting to be sent {result.delay_us:.0f} usec +", f"server and network {result.service_us:.0f} usec"],
        )

    def _server(self, result: Measured) -> None:
        server = result.server
        _say("  Server:")
        if server is None:
            _say("    Tells nothing: it has no statistics extension" if not result.counted else "    Counted nothing")
            return
        counted = result.counters
        _say(f"    Inference count: {counted.inferences}")
        _say(f"    Execution count: {counted.executions}")
        _say(f"    Successful request count: {counted.requests}")
        parts = [
            f"(overhead {server.overhead:.0f} usec +",
            f"queue {server.queue:.0f} usec +",
            f"compute input {server.compute_input:.0f} usec +",
            f"compute infer {server.compute_infer:.0f} usec +",
            f"compute output {server.compute_output:.0f} usec)",
        ]
        if counted.cache_hits or counted.cache_misses:
            _say(f"    Cache hit count: {counted.cache_hits}")
            _say(f"    Cache miss count: {counted.cache_misses}")
            parts[1:1] = [f"cache hit {server.cache_hit:.0f} usec +", f"cache miss {server.cache_miss:.0f} usec +"]
        _parts(f"    Avg request latency: {server.total:.0f} usec", parts)

    def _generator(self, result: Measured) -> None:
        _say("  Generator:")
        _say(f"    Processor: {result.generator_cores:.2f} cores")
        if not isinstance(result.load, ClosedLoad):
            _say(f"    Sent late: p99 {1e3 * result.late_ms:.0f} usec")
        processor = result.processor
        if processor is None:
            _say("    Disturbance: not observed")
        else:
            lost = f"{100 * processor.lost_share:.1f} % of processor time lost"
            _parts(f"    Disturbance: {processor.disturbance}", [f"({lost})"])

    def _remarks(self, result: Measured) -> None:
        remarks = []
        if result.interrupted:
            remarks.append("stopped: these are the windows until then")
        if result.failed is not None:
            remarks.append(f"{_failure(result.failed)}: these are the windows until then")
        if result.overloaded:
            remarks.append("more than the server can do: requests pile up, and latencies have no limit")
        elif result.stable is False and not result.interrupted and result.failed is None:
            remarks.append(f"not stable within {result.trials} windows: the last {len(result.windows)} are shown")
        if result.over_limit:
            remarks.append(f"latency is above the limit of {self._options.latency_limit_ms:g} msec")
        if result.generator_limit:
            remarks.append(f"the load generator shows in these values: {result.generator_limit}")
        if result.imbalance:
            remarks.append(f"these values do not add up: {result.imbalance}")
        if result.disturbance is Disturbance.DISTURBED:
            remarks.append("other programs took processor time: measure again when they are quiet")
        server = result.server
        if result.counted and not result.counters.requests:
            remarks.append("the server counted none of these requests: look at what it answers, with curl for example")
        if server is not None and server.accounted > result.service_us:
            remarks.append("the server accounts for more time than the client waited: the network part is shown as 0")
        for remark in remarks:
            console = err()
            console.print("  [yellow]warning:[/]", escape(printable(remark)))


def _failure(error: Exception) -> str:
    return "a request failed" if isinstance(error, LoadFailedError) else "the server told its statistics no more"


def _named(load: Load) -> str:
    if isinstance(load, ClosedLoad):
        return f"Concurrency: {load.concurrency}"
    return f"Request Rate: {load.rate:.6g}"


def _say_percentile(share: int, value: Percentile) -> None:
    start = f"    p{share} latency: {1e3 * value.value:.0f} usec"
    if value.is_known:
        _parts(start, [f"[{1e3 * value.low:.0f} to {1e3 * value.high:.0f}]"])
    else:
        _parts(start, [f"(not enough samples: {value.independent:.0f} of {value.needed})"])


def _parts(start: str, parts: Sequence[str], indent: int = 6) -> None:
    """On one line where the terminal is wide enough for it, else broken between parts."""
    width = out().width if out().is_terminal else 10_000
    line = start
    for part in parts:
        if len(line) + 1 + len(part) > width:
            _say(line)
            line = " " * indent + part
        else:
            line += f" {part}"
    _say(line)


def _say(line: str) -> None:
    console = out()
    shown = printable(line)
    if console.is_terminal and len(shown) > console.width:
        indent = len(shown) - len(shown.lstrip())
        shown = textwrap.fill(shown, console.width, subsequent_indent=" " * (indent + 2), break_on_hyphens=False)
    console.print(shown, markup=False)
