"""The grid: the current configuration first, nothing twice, nothing that cannot differ."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.search import Grid, Plan, default_instance_counts, make_plan, parse_sizes

GRID = Grid((1, 2, 4, 8), (1, 2), (1, 2, 4, 8, 16))


def plan(text: str, grid: Grid = GRID, batches: bool = True, rewritten: bool = False) -> Plan:
    base = text_format.Parse(text, ModelConfig())
    current = Configuration("current", base.max_batch_size, 1, base, current=True)
    return make_plan(current, base, grid, batches, rewritten)


def keys(made: Plan) -> list[tuple[str, int]]:
    return [(point.configuration.label, point.load.concurrency) for point in made.points]


def test_a_batch_larger_than_the_load_is_not_measured_again():
    made = plan("max_batch_size: 0", rewritten=True)
    measured = keys(made)
    assert measured[:5] == [("current", load) for load in (1, 2, 4, 8, 16)]
    assert len(measured) == len(set(measured)) == 5 + 2 * 14
    assert ("batch 8, 1 instance", 4) not in measured
    assert ("batch 4, 1 instance", 4) in measured
    assert any("12 points not measured" in note for note in made.notes)


def test_every_grid_point_is_measured_or_stood_for():
    covered = [
        (configuration.label, point.load.concurrency)
        for point in plan("max_batch_size: 0", rewritten=True).points
        for configuration in (point.configuration, *point.same)
    ]
    assert len(covered) == len(set(covered)) == 5 + 40


def test_a_queue_delay_makes_larger_batches_matter_everywhere():
    made = plan("max_batch_size: 4 dynamic_batching { max_queue_delay_microseconds: 100 }")
    assert all(not point.same for point in made.points)
    assert len(made.points) == 40  # the current configuration is one of the grid's


def test_the_current_configuration_is_measured_once():
    made = plan("max_batch_size: 8 dynamic_batching {}")
    assert "batch 8, 1 instance" not in {label for label, _ in keys(made)}
    assert any("is the current configuration" in note for note in made.notes)


def test_without_batches_only_instances_and_loads_vary():
    made = plan("max_batch_size: 0", batches=False)
    assert {label for label, _ in keys(made)} == {"current", "no batching, 2 instances"}


@pytest.mark.parametrize("text", ["", "0", "1,,2", "a", "1;2", "-1", "1.5", "²", "1000001", "9" * 5000])
def test_sizes_that_are_none(text):
    with pytest.raises(ValueError, match="whole numbers of at least 1"):
        parse_sizes(text)


def test_sizes():
    assert parse_sizes("1, 2,16") == (1, 2, 16)
    assert parse_sizes("1000000") == (1_000_000,)


def test_default_instances_follow_the_cores():
    assert [default_instance_counts(cores) for cores in (1, 2, 7, 8)] == [(1,), (1, 2), (1, 2), (1, 2, 4)]
