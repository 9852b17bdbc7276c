"""`pb_utils.ModelConfig`: what `auto_complete_config` may change, and what it may not."""

import json
from typing import Any

import pytest

from tcli_server.backends.python.stub.pb_utils import ModelConfig

INPUT = {"name": "IN", "data_type": "TYPE_FP32", "dims": [-1, 4]}


def config(**more: Any) -> ModelConfig:
    return ModelConfig(json.dumps({"name": "m", "max_batch_size": 0, "input": [], "output": [], **more}))


def test_it_is_made_of_text_or_of_what_was_read():
    assert config().as_dict()["name"] == "m"
    document = {"name": "m"}
    assert ModelConfig(document).as_dict() is document


def test_max_batch_size_only_grows():
    completed = config(max_batch_size=4)
    completed.set_max_batch_size(4)
    completed.set_max_batch_size(8)
    assert completed.as_dict()["max_batch_size"] == 8
    with pytest.raises(ValueError, match="model 'm' specifies max_batch_size 2, but the configuration has 8"):
        completed.set_max_batch_size(2)


def test_dynamic_batching_is_set_where_nothing_else_is():
    completed = config()
    completed.set_dynamic_batching()
    assert completed.as_dict()["dynamic_batching"] == {}
    completed = config(dynamic_batching={"preferred_batch_size": [4]})
    completed.set_dynamic_batching()
    assert completed.as_dict()["dynamic_batching"] == {"preferred_batch_size": [4]}
    for scheduler in ("sequence_batching", "ensemble_scheduling"):
        with pytest.raises(ValueError, match=f"sets scheduling_choice to 'dynamic_batching', but .* '{scheduler}'"):
            config(**{scheduler: {}}).set_dynamic_batching()


def test_inputs_and_outputs_are_added():
    completed = ModelConfig({"name": "m"})
    completed.add_input({**INPUT, "optional": True})
    completed.add_input({**INPUT, "name": "MORE", "dims": (2,)})
    completed.add_output({**INPUT, "name": "OUT"})
    document = completed.as_dict()
    assert document["input"] == [{**INPUT, "optional": True}, {**INPUT, "name": "MORE", "dims": [2]}]
    assert document["output"] == [{**INPUT, "name": "OUT"}]


@pytest.mark.parametrize("given", [
    {"name": "IN"},
    {"name": "IN", "data_type": "TYPE_INVALID", "dims": []},
    {"name": "IN", "data_type": "TYPE_FP32", "dims": ["-1", "4"]},
    {**INPUT, "format": "FORMAT_NCHW"},
], ids=["name", "invalid", "as protobuf writes it", "whole"])  # fmt: skip
def test_what_the_configuration_leaves_open_is_filled(given: dict[str, Any]):
    completed = config(input=[given])
    completed.add_input(INPUT)
    assert completed.as_dict()["input"] == [{**given, **INPUT}]


@pytest.mark.parametrize(("change", "says"), [
    ({"data_type": "TYPE_INT8"}, "input 'IN' has data_type TYPE_INT8, but the configuration has TYPE_FP32"),
    ({"dims": [4]}, r"input 'IN' has dims \[4\], but the configuration has \[-1, 4\]"),
    ({"optional": True}, "input 'IN' has optional True, but the configuration has False"),
], ids=["type", "dims", "optional"])  # fmt: skip
def test_what_the_configuration_says_stays(change: dict[str, Any], says: str):
    completed = config(input=[{**INPUT, "optional": False}])
    with pytest.raises(ValueError, match=says):
        completed.add_input({**INPUT, **change})
    assert completed.as_dict()["input"] == [{**INPUT, "optional": False}]


@pytest.mark.parametrize(("properties", "says"), [
    ({"data_type": "TYPE_FP32", "dims": [1]}, "input is missing the property 'name'"),
    ({"name": "IN", "dims": [1]}, "input 'IN' is missing the property 'data_type'"),
    ({"name": "IN", "data_type": "TYPE_FP32"}, "input 'IN' is missing the property 'dims'"),
    ({**INPUT, "shape": [1]}, "input 'IN' contains the property 'shape', expected none other than 'name'"),
    ({"shape": [1]}, "input contains the property 'shape'"),
    ({**INPUT, "data_type": "FP32"}, "input 'IN' has data_type 'FP32', expected one of TYPE_BOOL"),
    ({**INPUT, "dims": 4}, "input 'IN' has dims 4, expected a list of int"),
    ({**INPUT, "dims": "44"}, "input 'IN' has dims '44', expected a list of int"),
    ({**INPUT, "dims": [1.5]}, r"input 'IN' has dims \[1.5\], expected a list of int"),
], ids=str)  # fmt: skip
def test_properties_are_the_known_ones(properties: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=f"auto_complete_config of model 'm': {says}"):
        config().add_input(properties)


def test_outputs_are_never_optional():
    with pytest.raises(ValueError, match="output 'IN' contains the property 'optional'"):
        config().add_output({**INPUT, "optional": True})


def test_the_transaction_policy_is_said_once():
    completed = config()
    completed.set_model_transaction_policy({"decoupled": True})
    completed.set_model_transaction_policy({"decoupled": True})
    completed.set_model_transaction_policy({})
    assert completed.as_dict()["model_transaction_policy"] == {"decoupled": True}
    with pytest.raises(ValueError, match="sets decoupled to False, but the configuration has True"):
        completed.set_model_transaction_policy({"decoupled": False})
    with pytest.raises(ValueError, match="contains the property 'other'"):
        completed.set_model_transaction_policy({"other": True})
