"""Protobuf messages as the JSON that Triton sends."""

from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.messages import to_json


def test_a_configuration_has_its_fields_in_their_own_order():
    config = ModelConfig()
    config.dynamic_batching.priority_queue_policy[2].max_queue_size = 3
    policy = to_json(config)["dynamic_batching"]["priority_queue_policy"]["2"]
    assert list(policy) == [
        "timeout_action",
        "default_timeout_microseconds",
        "allow_timeout_override",
        "max_queue_size",
    ]
    assert list(to_json(ModelConfig(max_batch_size=3, name="m")))[:2] == ["name", "platform"]


def test_numbers_of_64_bits_are_numbers_wherever_they_are():
    config = ModelConfig(name="m")
    config.input.add(name="I", dims=[-1, 2**62]).reshape.shape.append(5)
    config.dynamic_batching.max_queue_delay_microseconds = 2**63
    config.dynamic_batching.priority_queue_policy[2**40].default_timeout_microseconds = 7
    config.parameters["a"].string_value = "12"
    document = to_json(config)
    assert document["input"][0]["dims"] == [-1, 2**62]
    assert document["input"][0]["reshape"] == {"shape": [5]}
    assert document["dynamic_batching"]["max_queue_delay_microseconds"] == 2**63
    assert document["dynamic_batching"]["priority_queue_policy"][str(2**40)]["default_timeout_microseconds"] == 7
    assert document["parameters"] == {"a": {"string_value": "12"}}
    config.cc_model_filenames["7.5"] = "m"
    assert to_json(config)["cc_model_filenames"] == {"7.5": "m"}


def test_defaults_are_given_unless_they_are_not_wanted():
    statistics = pb.ModelStatistics(name="m", version="1")
    assert to_json(statistics)["inference_count"] == 0
    assert to_json(statistics, defaults=False) == {"name": "m", "version": "1"}
