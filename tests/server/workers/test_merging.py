"""Sums of what several workers counted."""

from prometheus_client.metrics_core import Metric
from tritonclient.grpc import service_pb2

from tcli_server.observability.metrics import exposition
from tcli_server.workers.merging import merged_families
from tcli_server.workers.messages import Report
from tcli_server.workers.totals import Totals


def statistics(count: int, last: int, batches: dict[int, int]) -> service_pb2.ModelStatistics:
    one = service_pb2.ModelStatistics(
        name="m", version="1", last_inference=last, inference_count=count, execution_count=count
    )
    one.inference_stats.success.count = count
    one.inference_stats.success.ns = 10 * count
    for size, executions in batches.items():
        batch = one.batch_stats.add(batch_size=size)
        batch.compute_infer.count = executions
        batch.compute_infer.ns = 5 * executions
    return one


def family(name: str, kind: str, *values: tuple[dict[str, str], float]) -> Metric:
    made = Metric(name, name, kind)
    for labels, value in values:
        made.add_sample(name, labels, value)
    return made


def report(number: int, *models: service_pb2.ModelStatistics, families: tuple[Metric, ...] = ()) -> Report:
    return Report(number, service_pb2.ModelStatisticsResponse(model_stats=models).SerializeToString(), families)


def counted(totals: Totals) -> int:
    return sum(one.inference_count for one in totals.statistics().model_stats)


def test_counts_and_times_are_sums_and_the_last_inference_is_the_latest():
    totals = Totals()
    totals.told(1, report(0, statistics(3, 700, {1: 2, 4: 1})))
    totals.told(2, report(0, statistics(5, 600, {2: 1, 4: 3})))
    (one,) = totals.statistics().model_stats
    assert (one.inference_count, one.execution_count, one.last_inference) == (8, 8, 700)
    assert (one.inference_stats.success.count, one.inference_stats.success.ns) == (8, 80)
    assert one.inference_stats.HasField("success")
    batches = [(batch.batch_size, batch.compute_infer.count, batch.compute_infer.ns) for batch in one.batch_stats]
    assert batches == [(1, 2, 10), (2, 1, 5), (4, 4, 20)]


def test_what_a_worker_counted_outlives_it():
    totals = Totals()
    totals.told(1, report(0, statistics(3, 700, {}), families=(family("c", "counter", ({"model": "m"}, 3)),)))
    totals.told(2, report(0, statistics(5, 600, {}), families=(family("c", "counter", ({"model": "m"}, 5)),)))
    totals.ended(1)
    totals.ended(1)
    assert counted(totals) == 8
    assert exposition(totals.families()).decode().endswith('c{model="m"} 8\n')


def test_a_report_that_comes_late_takes_nothing_back():
    totals = Totals()
    totals.told(1, report(1, statistics(5, 0, {})))
    totals.told(1, report(0, statistics(3, 0, {})))
    assert counted(totals) == 5


def test_a_model_that_was_unloaded_begins_anew():
    totals = Totals()
    for pid in (1, 2):
        totals.told(pid, report(0, statistics(3, 0, {}), families=(family("c", "counter", ({"model": "m"}, 3)),)))
    totals.ended(1)
    totals.forget("m")
    assert counted(totals) == 3
    assert exposition(totals.families()).decode().endswith('c{model="m"} 3\n')


def test_gauges_of_workers_that_are_gone_are_gone():
    totals = Totals()
    for pid in (1, 2):
        totals.told(pid, report(0, families=(family("waiting", "gauge", ({}, 2)),)))
    totals.ended(1)
    assert exposition(totals.families()).decode().endswith("waiting 2\n")


def test_gauges_are_added_but_for_those_of_which_a_sum_means_nothing():
    def of_one(value: float) -> list[Metric]:
        names = ("nv_inference_pending_request_count", "nv_model_load_duration_secs", "nv_cache_util")
        return [family(name, "gauge", ({}, value)) for name in names]

    text = exposition(merged_families([of_one(0.25), of_one(0.75)], {})).decode()
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        "nv_inference_pending_request_count 1",
        "nv_model_load_duration_secs 0.75",
        "nv_cache_util 0.5",
    ]


def summary(count: int, median: float) -> Metric:
    made = Metric("s", "s", "summary")
    made.add_sample("s_count", {"model": "m"}, count)
    made.add_sample("s", {"model": "m", "quantile": "0.5"}, median)
    return made


def test_of_a_quantile_the_largest_is_shown_and_counts_are_sums():
    totals = Totals()
    for worker, median in (("gone", 9.0), ("a", 3.0), ("b", 5.0), ("idle", float("nan"))):
        totals.told(worker, report(1, families=(summary(2, median),)))
    totals.ended("gone")
    assert exposition(totals.families()).decode().splitlines()[2:] == [
        's_count{model="m"} 8',
        's{model="m",quantile="0.5"} 5',
    ]
    assert 's{model="m",quantile="0.5"} NaN' in exposition(merged_families([[summary(0, float("nan"))]], {})).decode()
