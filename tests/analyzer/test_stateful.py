"""What is measured and varied of models with state."""

import pytest

from described_models import taking
from tcli_analyzer.ground.state import with_state
from tcli_analyzer.space import Space
from tcli_analyzer.stateful import Stateful, stateful

STATE = 'state { input_name: "I" output_name: "O" data_type: TYPE_FP32 dims: [ 1 ] }'
TWO = "instance_group { count: 2 kind: KIND_CPU }"


@pytest.mark.parametrize(
    ("batching", "max_batch_size", "slots", "fixed"),
    [
        ("", 4, 8, "keep state for just so many"),
        (STATE, 4, 8, ""),
        ("direct {}", 0, 2, "takes no batches"),
        ("oldest { max_candidate_sequences: 5 }", 4, 10, ""),
        ("oldest { max_candidate_sequences: 5 }", 0, 10, "takes no batches"),
    ],
)
def test_how_many_sequences_run_at_once(batching: str, max_batch_size: int, slots: int, fixed: str):
    config = taking("X FP32 [ 1 ]", max_batch_size=max_batch_size, more=f"{TWO} sequence_batching {{ {batching} }}")
    found = stateful(config)
    assert found is not None
    assert found.slots == slots
    assert fixed in found.fixed_batches
    assert bool(fixed) == bool(found.fixed_batches)


def test_a_model_without_state():
    assert stateful(taking("X FP32 [ 1 ]")) is None


def test_more_callers_than_slots_wait():
    assert Stateful(4).note(4) == ""
    assert Stateful(4).note(5).startswith("4 sequences are served at once: with 5 callers")
    assert Stateful(1).note(2).startswith("1 sequence is served at once")


def test_the_space_keeps_what_the_model_allows():
    space = Space((1, 2, 4, 8), (1,), ("onnxruntime",), ("cpu",), concurrency=(1, 16))
    plain = taking("X FP32 [ 1 ]", max_batch_size=4)
    assert with_state(space, plain) == (space, ())
    direct = taking("X FP32 [ 1 ]", max_batch_size=4, more=f"{TWO} sequence_batching {{ direct {{}} }}")
    kept, notes = with_state(space, direct)
    assert kept.max_batch_sizes == (4,)
    assert notes[0].startswith("max_batch_size is not varied: sequence_batching by the direct strategy")
    assert notes[1].startswith("8 sequences are served at once: with 16 callers")
    served = taking("X FP32 [ 1 ]", max_batch_size=4, more=f"{TWO} sequence_batching {{ {STATE} }}")
    kept, notes = with_state(space, served)
    assert (kept, len(notes)) == (space, 1)
