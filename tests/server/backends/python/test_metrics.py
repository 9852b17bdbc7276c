"""`pb_utils.MetricFamily` and `Metric`: Triton's rules, and what the metrics port shows."""

import gc
import logging
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tcli_server.backends.python.services import Services
from tcli_server.backends.python.stub.errors import TritonModelException
from tcli_server.backends.python.stub.pb_utils import MetricFamily
from tcli_server.engine import Engine
from tcli_server.serving import ServeOptions, Server
from waiting import until

pytestmark = pytest.mark.usefixtures("wire")

COUNTER, GAUGE, HISTOGRAM = MetricFamily.COUNTER, MetricFamily.GAUGE, MetricFamily.HISTOGRAM


@pytest.fixture
def server(engine: Engine, loopback: ServeOptions) -> Iterator[Server]:
    with Server(engine, loopback) as running:
        yield running


def scrape(server: Server) -> str:
    text = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
    list(text_string_to_metric_families(text))  # Prometheus' own parser has nothing against it
    return text


def lines(server: Server, name: str) -> list[str]:
    """What is shown of a family, comments included."""
    return [line for line in scrape(server).splitlines() if name in line]


def test_a_counter_from_beginning_to_end(server: Server):
    family = MetricFamily("words", "Words seen", COUNTER)
    assert lines(server, "words") == []
    metric = family.Metric(labels={"language": "en", "Case": 'a"b'})
    assert metric.value() == 0
    metric.increment(2)
    metric.increment(0.5)
    metric.increment(0)
    assert metric.value() == 2.5
    with pytest.raises(TritonModelException, match="can only be incremented monotonically by non-negative values"):
        metric.increment(-1)
    with pytest.raises(TritonModelException, match="non-negative"):
        metric.increment(float("nan"))
    with pytest.raises(TritonModelException, match="Failed to set metric value: counter 'words' does not support set"):
        metric.set(3)
    with pytest.raises(TritonModelException, match=r"Failed to observe metric value: counter .* does not support"):
        metric.observe(3)
    assert lines(server, "words") == [
        "# HELP words Words seen", "# TYPE words counter", 'words{Case="a\\"b",language="en"} 2.5',
    ]  # fmt: skip


def test_a_gauge_goes_both_ways(server: Server):
    metric = (family := MetricFamily("depth", "Line 1\nline \\2", GAUGE)).Metric()
    metric.increment(1)
    metric.increment(-3)
    assert metric.value() == -2
    metric.set(7)
    with pytest.raises(TritonModelException, match="gauge 'depth' does not support observe, which a histogram does"):
        metric.observe(1)
    assert lines(server, "depth") == ["# HELP depth Line 1\\nline \\\\2", "# TYPE depth gauge", "depth 7"]
    metric.set(float("-inf"))
    assert lines(server, "depth")[-1] == "depth -Inf"
    metric.set(float("nan"))
    assert lines(server, "depth")[-1] == "depth NaN"
    del family


def test_a_histogram_counts_into_its_buckets(server: Server):
    family = MetricFamily("sizes", "Sizes", HISTOGRAM)
    metric = family.Metric(labels={"a": "b"}, buckets=[0.1, 1, 2.5])
    for size in (0.05, 1, 1.5, 6):
        metric.observe(size)
    assert lines(server, "sizes")[2:] == [
        'sizes_count{a="b"} 4', 'sizes_sum{a="b"} 8.55',
        'sizes_bucket{a="b",le="0.1"} 1', 'sizes_bucket{a="b",le="1"} 2', 'sizes_bucket{a="b",le="2.5"} 3',
        'sizes_bucket{a="b",le="+Inf"} 4',
    ]  # fmt: skip
    for operation in (metric.value, lambda: metric.set(1), lambda: metric.increment(1)):
        with pytest.raises(TritonModelException, match="histogram 'sizes' does not support"):
            operation()
    family.Metric(buckets=[]).observe(3)
    assert 'sizes_bucket{le="+Inf"} 1' in lines(server, "sizes")


@pytest.mark.parametrize("buckets", [[2.5, 0.1], [1, 1], [float("nan")], [1, float("inf")]], ids=str)
def test_buckets_ascend(buckets: list[float]):
    family = MetricFamily("sizes", "Sizes", HISTOGRAM)
    with pytest.raises(TritonModelException, match="expected finite buckets in strictly ascending order"):
        family.Metric(buckets=buckets)


def test_buckets_are_for_histograms_and_needed_there():
    with pytest.raises(TritonModelException, match="Failed to create metric: Missing required buckets"):
        MetricFamily("sizes", "Sizes", HISTOGRAM).Metric(labels={})
    for kind in (COUNTER, GAUGE):
        with pytest.raises(TritonModelException, match="Failed to create metric: Unexpected buckets found"):
            MetricFamily("sizes", "Sizes", kind).Metric(buckets=[1.0])


def test_the_same_labels_are_the_same_metric():
    family = MetricFamily("words", "Words", COUNTER)
    first, second = family.Metric({"a": "1", "b": "2"}), family.Metric({"b": "2", "a": "1"})
    other = family.Metric({"a": "1"})
    first.increment(7.5)
    del first
    assert (second.value(), other.value()) == (7.5, 0)


def test_a_metric_lasts_as_long_as_its_family_though_nobody_keeps_it():
    family = MetricFamily("words", "Words", COUNTER)
    for _ in range(3):
        family.Metric({"a": "1"}).increment(1)
    assert family.Metric({"a": "1"}).value() == 3


def test_the_same_name_and_kind_is_the_same_family_in_every_model(server: Server):
    first = MetricFamily("words", "first", COUNTER)
    other_model = Services("other", server.engine)
    heard: list[dict[str, object]] = []

    class Other:
        def tell(self, message: dict[str, object]) -> None:
            heard.append(message)

    def ask(kind: str, **body: object) -> dict[str, object]:
        other_model.handlers[kind](Other(), {"kind": kind, "call": 1, **body})
        return heard[-1]

    family = ask("metric_family", name="words", description="second", metric_kind="counter")["family"]
    metric = ask("metric", family=family, labels={"a": "1"}, buckets=None)["metric"]
    ask("metric_update", metric=metric, operation="increment", value=4)
    assert first.Metric({"a": "1"}).value() == 4
    first.Metric({"b": "1"})
    del first
    until(lambda: "b=" not in scrape(server))  # only the first one held it
    assert lines(server, "words") == ["# HELP words first", "# TYPE words counter", 'words{a="1"} 4']
    other_model.close()  # as after a kill -9
    assert lines(server, "words") == []


def test_another_kind_needs_another_name():
    family = MetricFamily("words", "Words", COUNTER)
    with pytest.raises(TritonModelException, match=r"Error when creating MetricFamily: .* is a counter, not a gauge"):
        MetricFamily("words", "Words", GAUGE)
    taken = MetricFamily("sizes_sum", "Sum", GAUGE)
    with pytest.raises(TritonModelException, match="would show 'sizes_sum', and so does gauge 'sizes_sum'"):
        MetricFamily("sizes", "Sizes", HISTOGRAM)
    del family, taken
    MetricFamily("words", "Words", GAUGE)
    MetricFamily("sizes", "Sizes", HISTOGRAM)


def test_a_family_that_is_made_again_begins_anew():
    for _ in range(100):
        metric = (family := MetricFamily("words", "Words", COUNTER)).Metric()
        metric.increment(1)
        assert metric.value() == 1
        del family


@pytest.mark.parametrize(
    "name", ["", "1st", "with space", "a-b", "nv_inference_count", "nv_gpu_mine", "tcli_batch_size", "x\ny 1"]
)
def test_names_are_prometheus_and_not_the_server_s(name: str):
    with pytest.raises(TritonModelException, match="metric family"):
        MetricFamily(name, "", COUNTER)


@pytest.mark.parametrize("label", ["", "1st", "a-b", "__name", 'x="1",y'])
def test_labels_are_prometheus(label: str):
    with pytest.raises(TritonModelException, match="expected letters, digits and '_'"):
        MetricFamily("words", "", COUNTER).Metric({label: "1"})
    with pytest.raises(TritonModelException, match="for a histogram not 'le'"):
        MetricFamily("sizes", "", HISTOGRAM).Metric({"le": "1"}, [1.0])


def test_names_of_triton_s_backends_are_taken_and_totals_keep_their_end(server: Server):
    metrics = [MetricFamily(name, "", COUNTER) for name in ("nv_trt_llm_request_metrics", "vllm:words_total")]
    for metric in metrics:
        metric.Metric().increment(1)
    assert "nv_trt_llm_request_metrics 1\n" in scrape(server)
    assert "vllm:words_total 1\n" in scrape(server)


def test_types_are_checked():
    family = MetricFamily("words", "", GAUGE)
    for wrong in (None, 3):
        with pytest.raises(TypeError, match="name: expected a str"):
            MetricFamily(wrong, "", COUNTER)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="description: expected a str"):
            MetricFamily("words", wrong, COUNTER)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"kind: expected MetricFamily\.COUNTER"):
        MetricFamily("words", "", "counter")  # type: ignore[arg-type]
    with pytest.raises(TritonModelException, match="Labels must be a dictionary"):
        family.Metric([("a", "b")])  # type: ignore[arg-type]
    with pytest.raises(TritonModelException, match="Labels must have a str for a str, found 'a': 1"):
        family.Metric({"a": 1})  # type: ignore[dict-item]
    with pytest.raises(TritonModelException, match="Buckets must be a list"):
        MetricFamily("sizes", "", HISTOGRAM).Metric(buckets=(1.0,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="value: expected a number, found '3'"):
        family.Metric().set("3")  # type: ignore[arg-type]


def test_a_metric_is_nothing_without_its_family(server: Server):
    family = MetricFamily("words", "", GAUGE)
    metric = family.Metric()
    del family
    gone = "Invalid metric operation as the corresponding 'MetricFamily' has been deleted."
    for operation in (lambda: metric.set(1), lambda: metric.increment(1), metric.value):
        with pytest.raises(TritonModelException, match=gone):
            operation()
    until(lambda: lines(server, "words") == [])


def test_families_that_only_the_garbage_collector_finds_are_closed_too(server: Server):
    family = MetricFamily("words", "", GAUGE)
    family.Metric()
    family.itself = family  # type: ignore[attr-defined]
    del family
    gc.collect()
    until(lambda: lines(server, "words") == [])


def test_other_buckets_for_the_same_labels_are_not_taken_silently(caplog: pytest.LogCaptureFixture):
    family = MetricFamily("sizes", "", HISTOGRAM)
    family.Metric(buckets=[1.0])
    with caplog.at_level(logging.WARNING):
        family.Metric(buckets=[2.0])
    assert "histogram 'sizes' keeps the buckets [1.0] that it has, others were asked for: [2.0]" in caplog.text
