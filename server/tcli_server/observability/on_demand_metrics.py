"""Families that Triton does not have: what loading on demand does."""

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import Metric

from tcli_server.models.on_demand import OnDemand
from tcli_server.models.tallies import Tally

_PER_MODEL: tuple[tuple[str, str, Callable[[Tally], int]], ...] = (
    ("tcli_on_demand_load_count", "Loads that succeeded", lambda tally: tally.loads),
    ("tcli_on_demand_load_duration_us", "Microseconds of these loads", lambda tally: tally.load_ns // 1000),
    ("tcli_on_demand_load_failure_count", "Loads that failed", lambda tally: tally.failures),
    ("tcli_on_demand_wait_count", "Requests that waited for their model to be loaded", lambda tally: tally.waits),
    (
        "tcli_on_demand_wait_duration_us",
        "Microseconds of this waiting, summed over requests",
        lambda tally: tally.wait_ns // 1000,
    ),
)


def on_demand_families(on_demand: OnDemand) -> Iterator[Metric]:
    """Every family; those of models for each that was ever asked for, loaded or not."""
    tallies = on_demand.tallies.by_name()
    for name, documentation, read in _PER_MODEL:
        family = Metric(name, documentation, "counter")
        for model, tally in tallies:
            family.add_sample(name, {"model": model}, read(tally))
        yield family
    room = on_demand.room
    evictions = Metric("tcli_on_demand_eviction_count", "Models that were unloaded by themselves, by reason", "counter")
    for reason, count in room.evictions.items():
        evictions.add_sample(evictions.name, {"reason": reason}, count)
    yield evictions
    memory = Metric("tcli_model_memory_bytes", "Memory of each loaded model, as far as it can be told, bytes", "gauge")
    for model, size in room.sizes():
        memory.add_sample(memory.name, {"model": model}, size)
    yield memory
    gauges = (
        (
            "tcli_on_demand_waiting_request_count",
            "Requests that wait for their model to be loaded now",
            on_demand.waiting,
        ),
        ("tcli_on_demand_memory_budget_bytes", "--memory-budget, bytes", room.budget),
    )
    for name, documentation, value in gauges:
        if value is not None:
            gauge = Metric(name, documentation, "gauge")
            gauge.add_sample(name, {}, value)
            yield gauge
