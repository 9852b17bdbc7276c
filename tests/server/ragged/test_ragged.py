"""Requests of different shapes in one batch, what the model is told of it, and what of its answer is whose."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

import onnx_models
import ragged_models
from ragged_models import KINDS
from repositories import write_model
from scheduled import Answers
from tcli_server import Engine, InferenceRequest
from tcli_server.errors import InternalError, InvalidArgumentError

SHAPES = [(1, 2), (1, 4), (1, 1), (1, 3)]


def numbers(shape: Sequence[int], start: int = 1) -> np.ndarray:
    return np.arange(start, start + np.prod(shape), dtype=np.float32).reshape(shape)


def serve(folder: Path, config: str, model: bytes | None = None) -> Engine:
    write_model(folder, "m", model or ragged_models.ragged(), config)
    return Engine(folder)


def ask_all(engine: Engine, arrays: Sequence[np.ndarray], outputs: Sequence[Sequence[str]] = ()) -> list[dict]:
    """The outputs of requests that come one behind the other, in their order."""
    answers = Answers()
    for index, array in enumerate(arrays):
        wanted = tuple(outputs[index]) if outputs else ()
        engine.submit(InferenceRequest("m", {"X": array}, wanted, id=str(index), reply=answers))
    responses = {response.id: response for response in answers.wait(len(arrays))}
    assert [responses[str(index)].error for index in range(len(arrays))] == [None] * len(arrays)
    return [responses[str(index)].outputs for index in range(len(arrays))]


def counts(engine: Engine) -> tuple[int, int, int, int]:
    """Inferences, executions, requests that succeeded and that failed."""
    statistics = engine.model("m").statistics
    return statistics.inference_count, statistics.execution_count, statistics.success_count, statistics.fail_count


def seen(outputs: dict, of: str) -> list[float]:
    (row,) = outputs[f"SEEN_{of}"].tolist()
    return row


def test_requests_of_different_shapes_share_a_batch(tmp_path: Path):
    arrays = [numbers(shape, 10 * index) for index, shape in enumerate(SHAPES)]
    with serve(tmp_path, ragged_models.config(together=4)) as engine:
        for array, outputs in zip(arrays, ask_all(engine, arrays), strict=True):
            assert outputs["SUM"].tolist() == [[array.sum()]]
            assert np.array_equal(outputs["DOUBLE"], 2 * array)
            assert seen(outputs, "COUNTS") == [2, 4, 1, 3]
            assert seen(outputs, "ENDS") == [2, 6, 7, 10]
            assert seen(outputs, "OFFSETS") == [0, 2, 6, 7, 10]
            assert len(seen(outputs, "WIDEST")) == 4
            assert seen(outputs, "SHAPES") == [2, 4, 1, 3]
            assert seen(outputs, "FLAT") == [2, 4, 1, 3]
        assert counts(engine) == (4, 1, 4, 0)


def test_shapes_of_more_dimensions(tmp_path: Path):
    shapes = [(1, 4, 1), (1, 1, 2), (1, 1, 2), (1, 2, 2)]
    arrays = [numbers(shape) for shape in shapes]
    with serve(tmp_path, ragged_models.config(dims="-1, -1", together=4)) as engine:
        for array, outputs in zip(arrays, ask_all(engine, arrays), strict=True):
            assert np.array_equal(outputs["DOUBLE"], 2 * array)
            assert outputs["SUM"].tolist() == [[array.sum()]]
            assert seen(outputs, "COUNTS") == [4, 2, 2, 4]
            assert seen(outputs, "SHAPES") == seen(outputs, "FLAT") == [4, 1, 1, 2, 1, 2, 2, 2]
        assert counts(engine) == (4, 1, 4, 0)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "OFFSETS"])
def test_floats_where_the_model_takes_floats(tmp_path: Path, name: str):
    kinds = ("OFFSETS", name)
    model = ragged_models.ragged(kinds, TensorProto.FLOAT)
    with serve(tmp_path, ragged_models.config(kinds, datatype="FP32", together=2), model) as engine:
        first, second = ask_all(engine, [numbers((1, 3)), numbers((1, 2))])
        assert first[f"SEEN_{name}"].dtype == np.float32
        assert seen(first, "OFFSETS") == seen(second, "OFFSETS") == [0, 3, 5]
        assert counts(engine) == (2, 1, 2, 0)


def test_a_request_alone_is_flat_too(tmp_path: Path):
    with serve(tmp_path, ragged_models.config()) as engine:
        outputs = engine.infer("m", {"X": numbers((1, 3))}).outputs
        assert list(outputs) == ["SUM", "DOUBLE", *(f"SEEN_{name}" for name in KINDS)]
        assert np.array_equal(outputs["DOUBLE"], [[2, 4, 6]])
        assert (seen(outputs, "OFFSETS"), seen(outputs, "SHAPES")) == ([0, 3], [3])


def test_a_request_without_elements_has_its_place(tmp_path: Path):
    arrays = [numbers((1, 2)), numbers((1, 0)), numbers((1, 1))]
    with serve(tmp_path, ragged_models.config(together=3)) as engine:
        answers = ask_all(engine, arrays)
        assert [outputs["SUM"].tolist() for outputs in answers] == [[[3]], [[0]], [[1]]]
        assert [outputs["DOUBLE"].tolist() for outputs in answers] == [[[2, 4]], [[]], [[2]]]
        assert seen(answers[1], "COUNTS") == [2, 0, 1]


def test_everybody_gets_the_outputs_asked_for(tmp_path: Path):
    wanted = [("DOUBLE",), ("SUM",), ("SUM", "DOUBLE"), ("SEEN_ENDS", "DOUBLE")]
    with serve(tmp_path, ragged_models.config(together=4)) as engine:
        answers = ask_all(engine, [numbers(shape) for shape in SHAPES], wanted)
        assert [set(outputs) for outputs in answers] == [set(names) for names in wanted]
        assert np.array_equal(answers[2]["DOUBLE"], [[2]])
        (only,) = ask_all(engine, [np.ones((4, 3), np.float32)], [("DOUBLE",)])
        assert np.array_equal(only["DOUBLE"], np.full((4, 3), 2))


def test_large_inputs_of_different_shapes(tmp_path: Path):
    arrays = [np.random.default_rng(width).random((1, width), np.float32) for width in (90_000, 1, 70_000)]
    with serve(tmp_path, ragged_models.config(together=3)) as engine:
        for _ in range(2):  # memory is used again
            for array, outputs in zip(arrays, ask_all(engine, arrays), strict=True):
                assert np.array_equal(outputs["DOUBLE"], 2 * array)
        assert counts(engine) == (6, 2, 6, 0)


def test_a_reshaped_input_and_output(tmp_path: Path):
    config = ragged_models.config(
        dims="-1, 2", together=2, x="reshape { shape: [ -1, 1, 2 ] }", double="reshape { shape: [ -1, 1, 2 ] }"
    )
    with serve(tmp_path, config) as engine:
        first, second = ask_all(engine, [numbers((1, 3, 2)), numbers((1, 1, 2))])
        assert np.array_equal(first["DOUBLE"], 2 * numbers((1, 3, 2)))
        assert np.array_equal(second["DOUBLE"], 2 * numbers((1, 1, 2)))
        assert seen(first, "SHAPES") == [3, 1, 2, 1, 1, 2]  # as the model knows them


def test_requests_of_several_items(tmp_path: Path):
    arrays = [numbers((2, 3, 1)), numbers((1, 2, 2))]
    with serve(tmp_path, ragged_models.config(dims="-1, -1", together=3)) as engine:
        first, second = ask_all(engine, arrays, [("DOUBLE",)] * 2)
        assert np.array_equal(first["DOUBLE"], 2 * arrays[0])
        assert np.array_equal(second["DOUBLE"], 2 * arrays[1])
        assert counts(engine) == (3, 1, 2, 0)


def test_shapes_are_told_for_each_item(tmp_path: Path):
    # As the example of Triton's ModelConfig: a batch of 2 of shape [3, 1] and one of shape [2, 2].
    kinds = ("OFFSETS", "SHAPES")
    config = ragged_models.config(kinds, "-1, -1", together=3)
    config += 'batch_output { target_name: "SEEN_SHAPES" source_input: "X" }'
    config = config.replace(
        'name: "SEEN_SHAPES" data_type: TYPE_INT32 dims: [ -1 ]',
        'name: "SEEN_SHAPES" data_type: TYPE_INT32 dims: [ 4 ]',
    )
    with serve(tmp_path, config, ragged_models.ragged(kinds)) as engine:
        first, second = ask_all(engine, [numbers((2, 3, 1)), numbers((1, 2, 2))], [("SEEN_SHAPES",)] * 2)
        assert [*first["SEEN_SHAPES"].ravel().tolist(), *second["SEEN_SHAPES"].ravel().tolist()] == [
            3,
            1,
            3,
            1,
            2,
            2,
        ] * 2


def test_a_model_that_counts_requests_and_not_items_says_so_to_whom_it_concerns(tmp_path: Path):
    answers = Answers()
    with serve(tmp_path, ragged_models.config(together=3)) as engine:
        for array in (numbers((2, 2)), numbers((1, 4))):
            engine.submit(InferenceRequest("m", {"X": array}, ("SUM",), id=str(len(array)), reply=answers))
        responses = {response.id: response for response in answers.wait(2)}
        assert responses["1"].outputs["SUM"].tolist() == [[10]]
        assert isinstance(responses["2"].error, InternalError)
        assert "'SUM'" in str(responses["2"].error)
        assert "one item" in str(responses["2"].error)
        assert counts(engine)[2:] == (1, 1)


def test_one_request_does_not_fail_another(tmp_path: Path):
    # PICKY gives a row of 3 only, and is to be divided by the shapes of X: only requests of 3 elements are right.
    answers = Answers()
    with serve(tmp_path, FLAT_CONFIG, onnx_models.picky(flat=True)) as engine:
        for width in (3, 4, 3):
            engine.submit(
                InferenceRequest("m", {"INPUT0": np.ones((1, width), np.float32)}, id=str(width), reply=answers)
            )
        good = [response for response in answers.wait(3) if response.error is None]
        assert [response.outputs["OUTPUT0"].tolist() for response in good] == [[[2, 3, 4]]] * 2
        assert counts(engine)[2:] == (2, 1)


FLAT_CONFIG = """
backend: "onnxruntime" max_batch_size: 4
input { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] }
batch_output { target_name: "OUTPUT0" source_input: "INPUT0" }
instance_group { count: 1 kind: KIND_CPU }
dynamic_batching { preferred_batch_size: 3 max_queue_delay_microseconds: 3600000000 }
"""


def test_an_output_that_has_not_the_elements_that_its_requests_are_to_get(tmp_path: Path):
    text = ragged_models.config(("OFFSETS",)) + 'batch_output { target_name: "SUM" source_input: "X" }'
    text = text.replace('name: "SUM" data_type: TYPE_FP32 dims: [ 1 ]', 'name: "SUM" data_type: TYPE_FP32 dims: [ -1 ]')
    with serve(tmp_path, text, ragged_models.ragged(("OFFSETS",))) as engine:
        with pytest.raises(
            InternalError, match=r"'SUM' of model 'm' has 1 elements .* to get 3, by the shapes of their 'X'"
        ):
            engine.infer("m", {"X": numbers((1, 3))})
        assert engine.infer("m", {"X": numbers((1, 1))}).outputs["SUM"].tolist() == [[1]]


def test_strings_are_ragged_too(tmp_path: Path):
    config = FLAT_CONFIG.replace("TYPE_FP32", "TYPE_STRING").replace(
        "preferred_batch_size: 3", "preferred_batch_size: 2"
    )
    words = [np.array([[b"one", b"two"]], np.object_), np.array([[b"three"]], np.object_)]
    answers = Answers()
    with serve(tmp_path, config, onnx_models.identity(TensorProto.STRING, ("N",))) as engine:
        for index, array in enumerate(words):
            engine.submit(InferenceRequest("m", {"INPUT0": array}, id=str(index), reply=answers))
        for response in answers.wait(2):
            assert response.outputs["OUTPUT0"].tolist() == words[int(response.id)].tolist()
        assert counts(engine) == (2, 1, 2, 0)


def test_without_a_batch_dimension_inputs_are_flat_as_well(tmp_path: Path):
    kinds = ("COUNTS", "OFFSETS")
    text = ragged_models.config(kinds, "-1, 2", max_batch_size=0)
    text = text.replace('"SUM" data_type: TYPE_FP32 dims: [ 1 ]', '"SUM" data_type: TYPE_FP32 dims: [ -1, 1 ]')
    text = text.replace("TYPE_INT32 dims: [ -1 ]", "TYPE_INT32 dims: [ -1, -1 ]")
    with serve(tmp_path, text, ragged_models.ragged(kinds)) as engine:
        outputs = engine.infer("m", {"X": numbers((3, 2))}).outputs
        assert np.array_equal(outputs["DOUBLE"], 2 * numbers((3, 2)))
        assert outputs["SEEN_OFFSETS"].tolist() == [[0, 6]]


def test_other_inputs_still_keep_requests_apart(tmp_path: Path):
    """A ragged input beside one that is not: only requests whose other input has the same shape share a batch."""
    with serve(tmp_path, MIXED_CONFIG, ragged_models.beside()) as engine:
        answers = Answers()
        for index, (x, y) in enumerate([(2, 1), (3, 1), (1, 2), (4, 2)]):
            inputs = {"X": numbers((1, x)), "Y": numbers((1, y))}
            engine.submit(InferenceRequest("m", inputs, id=str(index), reply=answers))
        for response in answers.wait(4):
            assert response.error is None
            assert response.outputs["SAME"].shape == (1, (1, 1, 2, 2)[int(response.id)])
        assert counts(engine) == (4, 2, 4, 0)


MIXED_CONFIG = """
backend: "onnxruntime" max_batch_size: 8
input { name: "X" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
input { name: "Y" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "SAME" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "DOUBLE" data_type: TYPE_FP32 dims: [ -1 ] }
batch_output { target_name: "DOUBLE" source_input: "X" }
instance_group { count: 1 kind: KIND_CPU }
dynamic_batching { preferred_batch_size: 2 max_queue_delay_microseconds: 3600000000 }
"""


def test_inputs_beside_a_ragged_one_are_reshaped(tmp_path: Path):
    text = MIXED_CONFIG.replace(
        '"Y" data_type: TYPE_FP32 dims: [ -1 ]', '"Y" data_type: TYPE_FP32 dims: [ -1, 1 ] reshape { shape: [ -1 ] }'
    )
    answers = Answers()
    with serve(tmp_path, text, ragged_models.beside()) as engine:
        for index in (1, 2):
            inputs = {"X": numbers((1, index)), "Y": numbers((1, 3, 1), index)}
            engine.submit(InferenceRequest("m", inputs, id=str(index), reply=answers))
        for response in answers.wait(2):
            assert response.outputs["SAME"].tolist() == [[int(response.id) + column for column in range(3)]]
        assert counts(engine) == (2, 1, 2, 0)


def test_a_reshaped_input_without_a_batch_dimension(tmp_path: Path):
    kinds = ("COUNTS", "OFFSETS")
    text = ragged_models.config(kinds, "-1, 2", max_batch_size=0, x="reshape { shape: [ -1, 1, 2 ] }")
    text = text.replace(
        '"DOUBLE" data_type: TYPE_FP32 dims: [ -1, 2 ]', '"DOUBLE" data_type: TYPE_FP32 dims: [ -1, 1, 2 ]'
    )
    text = text.replace('"SUM" data_type: TYPE_FP32 dims: [ 1 ]', '"SUM" data_type: TYPE_FP32 dims: [ -1, 1 ]')
    text = text.replace("TYPE_INT32 dims: [ -1 ]", "TYPE_INT32 dims: [ -1, -1 ]")
    with serve(tmp_path, text, ragged_models.ragged(kinds)) as engine:
        outputs = engine.infer("m", {"X": numbers((3, 2))}).outputs
        assert np.array_equal(outputs["DOUBLE"], 2 * numbers((3, 1, 2)))
        assert outputs["SEEN_COUNTS"].tolist() == [[6]]


def test_two_inputs_of_the_model_from_one_batch_input(tmp_path: Path):
    text = ragged_models.config(("OFFSETS",), together=2).replace(
        'target_name: "OFFSETS"', 'target_name: [ "OFFSETS", "ENDS" ]'
    )
    text += 'output { name: "SEEN_ENDS" data_type: TYPE_INT32 dims: [ -1 ] }'
    with serve(tmp_path, text, ragged_models.ragged(("OFFSETS", "ENDS"))) as engine:
        first, _ = ask_all(engine, [numbers((1, 3)), numbers((1, 2))])
        assert seen(first, "OFFSETS") == seen(first, "ENDS") == [0, 3, 5]


def test_clients_see_their_own_inputs_and_may_send_no_others(tmp_path: Path):
    with serve(tmp_path, ragged_models.config()) as engine:
        metadata = engine.model_metadata("m")
        assert [(tensor.name, list(tensor.shape)) for tensor in metadata.inputs] == [("X", [-1, -1])]
        assert [item.target_name[0] for item in engine.model("m").config.batch_input] == list(KINDS)
        with pytest.raises(InvalidArgumentError, match="expected 1 inputs but got 2 inputs"):
            engine.infer("m", {"X": numbers((1, 3)), "ENDS": np.zeros(1, np.int32)})
        with pytest.raises(InvalidArgumentError, match="unexpected shape for input 'X'"):
            engine.infer("m", {"X": numbers((1, 3, 1))})
        assert counts(engine)[:3] == (0, 0, 0)


def test_warm_up_has_batch_inputs(tmp_path: Path):
    value = "value { data_type: TYPE_FP32 dims: [ 5 ] random_data: true }"
    sample = f'model_warmup {{ name: "w" batch_size: 3 inputs {{ key: "X" {value} }} }}'
    with serve(tmp_path, ragged_models.config(more=sample)) as engine:
        assert engine.ready()
        assert counts(engine) == (0, 0, 0, 0)


OLDEST = "oldest { preferred_batch_size: 3 max_queue_delay_microseconds: 3600000000 }"
STATE = 'state { input_name: "TOTAL_IN" output_name: "TOTAL_OUT" data_type: TYPE_FP32 dims: [ 1 ] }'


def stateful(strategy: str) -> str:
    """The configuration of a `ragged` that adds up what each sequence brings."""
    text = ragged_models.config(max_batch_size=4).replace("dynamic_batching {  }", "")
    total = 'output { name: "TOTAL" data_type: TYPE_FP32 dims: [ 1 ] }'
    return f"{text}{total}\nsequence_batching {{ {strategy} {STATE} }}"


def step(sequence: int, width: int, answers: Answers, start: bool = False, end: bool = False) -> InferenceRequest:
    inputs = {"X": numbers((1, width))}
    request = InferenceRequest("m", inputs, id=str(sequence), sequence_id=sequence, reply=answers)
    request.sequence_start, request.sequence_end = start, end
    return request


def test_sequences_of_different_shapes_share_a_batch(tmp_path: Path):
    totals = {"1": 0.0, "2": 0.0, "3": 0.0}
    with serve(tmp_path, stateful(OLDEST), ragged_models.ragged(state=True)) as engine:
        for number in (1, 2):
            answers = Answers()
            for sequence in (1, 2, 3):
                engine.submit(step(sequence, sequence * number, answers, number == 1, number == 2))
            for response in answers.wait(3):
                array = numbers((1, int(response.id) * number))
                totals[response.id] += array.sum()
                assert response.error is None
                assert list(response.outputs)[:2] == ["SUM", "DOUBLE"]
                assert "TOTAL_OUT" not in response.outputs
                assert np.array_equal(response.outputs["DOUBLE"], 2 * array)
                assert response.outputs["TOTAL"].tolist() == [[totals[response.id]]]
                assert seen(response.outputs, "COUNTS") == [number, 2 * number, 3 * number]
        assert counts(engine) == (6, 2, 6, 0)


def test_gaps_between_sequences_are_rows_too(tmp_path: Path):
    with serve(tmp_path, stateful("direct { }"), ragged_models.ragged(state=True)) as engine:
        answers = Answers()
        for count, sequence in enumerate((1, 2, 3), 1):
            engine.submit(step(sequence, sequence, answers, start=True))
            answers.wait(count)
        engine.submit(step(3, 2, answers, end=True))
        response = answers.wait(4)[-1]
        assert response.outputs["TOTAL"].tolist() == [[1 + 2 + 3 + 1 + 2]]
        assert response.outputs["DOUBLE"].tolist() == [[2, 4]]
        assert len(seen(response.outputs, "COUNTS")) == 3
