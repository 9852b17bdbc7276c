"""`auto_complete_config`: what the server takes back from a model."""

from pathlib import Path

import pytest

from python_models import IDENTITY, write_python_model
from tcli_server.engine import Engine
from tcli_server.options import EngineOptions

TENSORS = """
        config.add_input({"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]})
        config.add_output({"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]})
"""


def write(repository: Path, body: str, config: str | None = None) -> None:
    code = f"{IDENTITY}\n    @staticmethod\n    def auto_complete_config(config):{TENSORS}        {body}\n"
    write_python_model(repository, "m", code, config)


@pytest.mark.parametrize(
    ("body", "config", "scheduler"),
    [
        ("config.set_dynamic_batching(); return config", None, "dynamic_batching"),
        ("config.as_dict()['sequence_batching'] = {}; return config", None, "sequence_batching"),
        (
            "config.set_dynamic_batching(); return config",
            "dynamic_batching { preserve_ordering: true }",
            "dynamic_batching",
        ),
        ("return config", "sequence_batching { }", "sequence_batching"),
    ],
)
def test_a_scheduler_is_taken_where_none_is_chosen(tmp_path: Path, body: str, config: str | None, scheduler: str):
    write(tmp_path, body, config)
    with Engine(tmp_path) as engine:
        found = engine.model_config("m")
    assert found.WhichOneof("scheduling_choice") == scheduler
    assert found.dynamic_batching.preserve_ordering is ("preserve" in (config or ""))


def test_nothing_else_is_taken(tmp_path: Path):
    body = (
        "config.as_dict().update(instance_group=[{'count': 3}], parameters={'a': {'string_value': 'b'}}); return config"
    )
    write(tmp_path, body, 'parameters { key: "mine" value { string_value: "1" } }')
    with Engine(tmp_path) as engine:
        config = engine.model_config("m")
    assert (config.instance_group[0].count, list(config.parameters)) == (1, ["mine"])


def test_another_configuration_may_be_given_back(tmp_path: Path):
    body = (
        "other = pb_utils.ModelConfig('{}'); other.as_dict().update(config.as_dict(), max_batch_size=4); return other"
    )
    write(tmp_path, body)
    with Engine(tmp_path) as engine:
        assert engine.model_config("m").max_batch_size == 4


@pytest.mark.parametrize(
    ("body", "config", "says"),
    [
        (
            "config.as_dict().update(sequence_batching={}); config.as_dict().pop('dynamic_batching'); return config",
            "dynamic_batching { }",
            "Cannot update scheduling choice from dynamic_batching to sequence_batching",
        ),
        ("config.set_dynamic_batching(); return config", "sequence_batching { }", "'dynamic_batching'"),
        (
            "return config.as_dict()",
            None,
            "auto_complete_config function in model 'm' must return a valid pb.ModelConfig",
        ),
        ("return None", None, "must return a valid pb.ModelConfig"),
        ("raise RuntimeError('not today')", None, "RuntimeError: not today"),
        ("config.as_dict()['no_such_field'] = 1; return config", None, "no_such_field"),
        ("config.as_dict()['max_batch_size'] = -1; return config", None, "max_batch_size"),
        ("import os; os._exit(3)", None, "ended with status 3"),
        (
            "config.set_max_batch_size(2); return config",
            "max_batch_size: 3",
            "max_batch_size 2, but the configuration has 3",
        ),
    ],
)
def test_what_cannot_be_fails_the_load(tmp_path: Path, body: str, config: str | None, says: str):
    write(tmp_path, body, config)
    with Engine(tmp_path) as engine:
        assert says in engine.repository_index().models[0].reason


def test_it_is_not_asked_where_that_is_switched_off(tmp_path: Path):
    tensors = "input { name: 'INPUT0' data_type: TYPE_FP32 dims: -1 } output { name: 'OUTPUT0' data_type: TYPE_FP32 dims: -1 }"
    write(tmp_path, "raise RuntimeError('not today')", f"backend: 'python' {tensors}")
    with Engine(tmp_path, options=EngineOptions(auto_complete_config=False)) as engine:
        assert engine.model_ready("m")
