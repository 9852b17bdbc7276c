"""Values of dimensions as people write them on the command line, and what becomes of what they leave out."""

import pytest

from spaces import ONNX_ALONE, ONNX_AND_OPENVINO, TWO_CORES, config, labels, variants
from tcli_analyzer.space import Space, SpaceValues
from tcli_analyzer.space.values import READERS, parse_values


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("batch_sizes", "1, 2,4", (1, 2, 4)),
        ("batch_sizes", "4,4", (4,)),
        ("request_rates", "10,2.5", (10.0, 2.5)),
        ("queue_delays", "0,500,500us,1ms,1.5 ms,2s", (0, 500, 1000, 1500, 2_000_000)),
        ("preferred_batch_sizes", "none,8+4,4", ((), (4, 8), (4,))),
        ("threads", "auto,1,0", (0, 1)),
        ("engines", "onnxruntime,openvino", ("onnxruntime", "openvino")),
        ("precisions", "FP32,bf16,auto", ("f32", "bf16", "")),
        ("graph_levels", "all,basic,1,none", (0, -1, 1, 2)),
    ],
)
def test_texts_become_values(key: str, text: str, values: tuple):
    assert parse_values(key, text) == values


@pytest.mark.parametrize("key", READERS)
def test_each_example_fits(key: str):
    assert parse_values(key, READERS[key].example)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("batch_sizes", "1,x", "'x': expected whole numbers from 1 to 1,000,000, such as 1,2,4,8"),
        ("batch_sizes", "0", "'0': expected whole numbers"),
        ("batch_sizes", "", "'': expected whole numbers"),
        ("batch_sizes", "9" * 5000, "'9999"),
        ("batch_sizes", "1000001", "'1000001': expected whole numbers from 1 to 1,000,000"),
        ("instance_counts", "-1", "'-1': expected"),
        ("instance_counts", "٣", "'٣': expected"),
        ("request_rates", "0", "'0': expected requests a second, above 0, such as 10,20,40"),
        ("request_rates", "nan", "'nan': expected"),
        ("request_rates", "1e99", "'1e99': expected"),
        ("queue_delays", "1 minute", "'1 minute': expected microseconds, or times such as 500us or 1ms"),
        ("queue_delays", "61s", "'61s': expected"),
        ("preferred_batch_sizes", "4+", "'4\\+': expected sizes with"),
        ("threads", "many", "'many': expected whole numbers of threads, or auto"),
        ("engines", "../x", "'../x': expected names of backends"),
        ("precisions", "bf61", "'bf61': expected f32, bf16, f16, or auto .*; did you mean bf16"),
        ("graph_levels", "3", "'3': expected all, extended, basic or none"),
        ("batch_sizes", ",".join(map(str, range(1, 1002))), "1,001 values: expected at most 1,000"),
    ],
)
def test_what_does_not_fit_is_said_with_an_example(key: str, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_values(key, text)


def test_options_name_themselves():
    with pytest.raises(ValueError, match=r"^--instance-counts 'two': expected whole numbers"):
        SpaceValues.of_options(batch_sizes="1", instance_counts="two")
    assert SpaceValues.of_options(batch_sizes=None, threads="", concurrency="4") == SpaceValues(concurrency=(4,))


def space(values: SpaceValues, engines=ONNX_ALONE, batches: bool = True, base=None) -> Space:
    return values.space(TWO_CORES, config() if base is None else base, engines, batches)


def test_what_is_not_said_is_the_default():
    default = Space.default(TWO_CORES, config(), ONNX_ALONE, True)
    assert space(SpaceValues()) == default
    assert space(SpaceValues(threads=(1, 2))).threads == (1, 2)
    assert space(SpaceValues(threads=(1, 2))).instances == default.instances


def test_a_model_without_batches_has_none_whatever_is_said():
    found = space(SpaceValues(max_batch_sizes=(4,), client_batch_sizes=(2,)), batches=False)
    assert (found.max_batch_sizes, found.client_batch_sizes) == ((0,), (1,))


def test_rates_replace_the_closed_loop():
    assert space(SpaceValues(request_rates=(5.0,))).concurrency == ()
    assert space(SpaceValues(request_rates=(5.0,), concurrency=(2,))).concurrency == (2,)


def test_outstanding_requests_fill_the_largest_batch_that_is_tried():
    assert space(SpaceValues(max_batch_sizes=(1, 32))).concurrency == (1, 2, 4, 8, 16, 32, 64)
    assert space(SpaceValues(max_batch_sizes=(1,))).concurrency == (1, 2, 4)
    assert space(SpaceValues(max_batch_sizes=(32,), concurrency=(3,))).concurrency == (3,)


def test_the_command_line_goes_before_the_file():
    file = SpaceValues(max_batch_sizes=(1, 2), concurrency=(8,), threads=(3,))
    line = SpaceValues(max_batch_sizes=(4,), request_rates=(10.0,))
    assert line.over(file) == SpaceValues(max_batch_sizes=(4,), request_rates=(10.0,), threads=(3,))
    assert file.over(line).request_rates is None


def test_fixed_values_try_nothing_that_is_not_said():
    base = config()
    base.dynamic_batching.max_queue_delay_microseconds = 300
    found = space(SpaceValues(instances=(1, 2), fixed=True), ONNX_AND_OPENVINO, base=base)
    assert (found.max_batch_sizes, found.queue_delays_us, found.engines) == ((8,), (300,), ("onnxruntime",))
    assert labels(variants(found, base)) == ["batch 8, 2 instances"]


def test_an_engine_brings_what_it_needs():
    only = space(SpaceValues(engines=("openvino",)), ONNX_AND_OPENVINO)
    assert (only.providers, only.precisions) == (("cpu",), ("f32", "bf16"))
    without = space(SpaceValues(engines=("onnxruntime",)), ONNX_AND_OPENVINO)
    assert without.precisions == ("f32",)
    assert len(labels(variants(without))) == 7
