"""Variations of a configuration: what changes, and that nothing else does."""

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import (
    fill_gaps,
    has_one_item_shapes,
    instance_count,
    request_shapes,
    same_behaviour,
    split_batch_dimension,
    vary,
)

DENSENET = """
name: "densenet_onnx" platform: "onnxruntime_onnx" max_batch_size: 0
input { name: "data_0" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [3, 224, 224] reshape { shape: [1, 3, 224, 224] } }
output { name: "fc6_1" data_type: TYPE_FP32 dims: [1000] reshape { shape: [1, 1000, 1, 1] } label_filename: "l.txt" }
"""


def config(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


def test_densenets_reshapes_lose_their_batch_dimension():
    result = vary(split_batch_dimension(config(DENSENET)), 4, 2)
    assert list(result.input[0].dims) == [3, 224, 224]
    assert not result.input[0].HasField("reshape")
    assert list(result.output[0].dims) == [1000]
    assert list(result.output[0].reshape.shape) == [1000, 1, 1]
    assert result.output[0].label_filename == "l.txt"
    assert result.max_batch_size == 4
    assert result.HasField("dynamic_batching")
    assert result.instance_group[0].count == 2
    assert request_shapes(result) == "data_0 [n, 3, 224, 224]"


def test_full_shapes_lose_their_first_dimension():
    full = config('input { name: "a" dims: [-1, 16] } output { name: "b" dims: [1] }')
    result = split_batch_dimension(full)
    assert list(result.input[0].dims) == [16]
    assert list(result.output[0].dims) == [1]
    assert result.output[0].HasField("reshape")
    assert not result.output[0].reshape.shape


def test_only_first_dimensions_of_one_can_be_a_batch():
    assert has_one_item_shapes(config(DENSENET))
    assert not has_one_item_shapes(config('input { name: "a" dims: [16] }'))


def test_varying_keeps_the_batchers_settings_that_still_fit():
    base = config("max_batch_size: 8 dynamic_batching { preferred_batch_size: [2, 8] preserve_ordering: true }")
    result = vary(base, 4, 1)
    assert list(result.dynamic_batching.preferred_batch_size) == [2]
    assert result.dynamic_batching.preserve_ordering
    assert base.max_batch_size == 8


def test_a_batch_of_one_needs_no_batcher():
    assert not vary(config("max_batch_size: 8"), 1, 1).HasField("dynamic_batching")


def test_what_the_server_completed_is_filled_in_and_nothing_else():
    complete = config(
        'name: "m" backend: "onnxruntime" max_batch_size: 4 dynamic_batching { preferred_batch_size: 4 } '
        'input { name: "a" dims: 3 } instance_group { name: "m" kind: KIND_CPU count: 1 } version_policy { all {} }'
    )
    result = fill_gaps(config('metric_tags { key: "k" value: "v" }'), complete)
    assert result == config(
        'name: "m" backend: "onnxruntime" max_batch_size: 4 dynamic_batching {} metric_tags { key: "k" value: "v" } '
        'input { name: "a" dims: 3 } instance_group { kind: KIND_CPU count: 1 }'
    )


def test_same_behaviour_ignores_what_does_not_matter():
    assert same_behaviour(config("max_batch_size: 1"), config("max_batch_size: 1 dynamic_batching {}"))
    assert not same_behaviour(config("max_batch_size: 2"), config("max_batch_size: 2 dynamic_batching {}"))
    assert not same_behaviour(config("instance_group { count: 1 }"), config("instance_group { count: 2 }"))


def test_a_preferred_size_equal_to_the_largest_batch_stays():
    base = config("max_batch_size: 8 dynamic_batching { preferred_batch_size: [2, 4, 8] }")
    assert list(vary(base, 4, 1).dynamic_batching.preferred_batch_size) == [2, 4]


def test_a_batcher_that_was_set_up_stays_for_batches_of_one():
    """It may have priorities and queue policies."""
    base = config("max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 100 }")
    assert vary(base, 1, 1).dynamic_batching.max_queue_delay_microseconds == 100
    assert not vary(base, 0, 1).HasField("dynamic_batching")


def test_a_group_without_a_count_is_one_instance():
    assert instance_count(config("")) == 1
    assert instance_count(config("instance_group {} instance_group { count: 2 }")) == 3
