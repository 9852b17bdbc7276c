"""Implicit state: what one sequence has belongs to it alone, in the shapes that the model gives it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import onnx_models
from repositories import write_model
from tcli_server import Engine
from tcli_server.errors import ServerError

LONG = "max_sequence_idle_microseconds: 3600000000"
STRATEGIES = {"direct": "", "oldest": "oldest { max_candidate_sequences: 4 }"}
CONFIG = """
backend: "onnxruntime" max_batch_size: {batch}
input {{ name: "IN" data_type: TYPE_FP32 dims: [ {dims} ] }}
output [ {outputs} ]
sequence_batching {{ {more} state {{ input_name: "PAST" output_name: "NEXT" data_type: TYPE_FP32 dims: [ {state} ] {initial} }} }}
"""


def shown(dims: object, more: str = "") -> str:
    """NEXT as an output that clients see."""
    return f'{{ name: "NEXT" data_type: TYPE_FP32 dims: [ {dims} ] {more} }}'


def write(
    repository: Path, node: list, batch: int, dims: str, state: str, outputs: str, more: str, initial: str = ""
) -> None:
    """A model whose NEXT is made of IN and PAST."""
    width: int | str = int(dims) if dims != "-1" else "M"
    shape = ["N", width] if batch else [width]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("IN", "PAST", "NEXT")]
    if node is JOINED:
        for tensor in tensors[1:]:
            tensor.type.tensor_type.shape.dim[1].dim_param = "M"
    graph = helper.make_graph(node, "states", tensors[:2], tensors[2:])
    model = helper.make_model(graph, ir_version=8, opset_imports=onnx_models.OPSET).SerializeToString()
    config = CONFIG.format(batch=batch, dims=dims, outputs=outputs, state=state, more=f"{more} {LONG}", initial=initial)
    write_model(repository, "states", model, config)


JOINED = [helper.make_node("Concat", ["PAST", "IN"], ["NEXT"], axis=1)]
ADD = [helper.make_node("Add", ["IN", "PAST"], ["NEXT"])]


def ask(engine: Engine, sequence: int, values: list[float], start: bool = False) -> np.ndarray:
    array = np.array(values, np.float32)
    if engine.model("states").spec.max_batch_size:
        array = array[np.newaxis]
    return engine.infer("states", {"IN": array}, sequence_id=sequence, sequence_start=start).outputs["NEXT"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("batch", [0, 4])
def test_a_client_that_changes_its_answer_changes_no_state(tmp_path: Path, strategy: str, batch: int):
    write(tmp_path, ADD, batch, "2", "2", shown(2), STRATEGIES[strategy])
    with Engine(tmp_path) as engine:
        ask(engine, 1, [1, 2], start=True)[...] = 100
        assert ask(engine, 1, [1, 1]).ravel().tolist() == [2, 3]


@pytest.mark.parametrize("batch", [0, 4])
def test_a_state_that_clients_see_in_another_shape_is_the_models(tmp_path: Path, batch: int):
    output = shown("1, 2", "reshape { shape: [ 2 ] }")
    write(tmp_path, ADD, batch, "2", "2", output, "")
    with Engine(tmp_path) as engine:
        for total in (1, 2, 3):
            answer = ask(engine, 1, [1, 1], start=total == 1)
            assert answer.tolist() == ([[[total, total]]] if batch else [[total, total]])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_state_that_grows_against_the_configuration_fails_nobody_else(tmp_path: Path, strategy: str):
    """Triton does not compare a state's shape with the configuration either."""
    output = shown(-1)
    write(tmp_path, JOINED, 4, "1", "1", output, STRATEGIES[strategy])
    with Engine(tmp_path) as engine:

        def client(number: int) -> bool:
            told: list[float] = [0]
            for index in range(5 + 3 * number):
                told.append(number)
                answer = ask(engine, number, [number], start=index == 0)
                assert answer.tolist() == [told]
            return True

        with ThreadPoolExecutor(4) as clients:
            assert all(clients.map(client, range(1, 5)))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("data", ["zero_data: true", 'data_file: "nothing"'])
def test_a_state_that_grows_may_start_with_nothing(tmp_path: Path, strategy: str, data: str):
    initial = f'initial_state {{ name: "none" data_type: TYPE_FP32 dims: [ 0 ] {data} }}'
    write(tmp_path, JOINED, 4, "1", "-1", shown(-1), STRATEGIES[strategy], initial)
    (tmp_path / "states" / "initial_state").mkdir()
    (tmp_path / "states" / "initial_state" / "nothing").touch()
    with Engine(tmp_path) as engine, ThreadPoolExecutor(4) as clients:
        list(clients.map(lambda number: ask(engine, number, [number], start=True), range(1, 5)))
        answers = clients.map(lambda number: ask(engine, number, [0]).tolist(), range(1, 5))
        assert list(answers) == [[[number, 0]] for number in range(1, 5)]


def test_what_a_sequence_keeps_is_no_part_of_a_larger_array(tmp_path: Path):
    """A row that is a view keeps the rows of all others for as long as its sequence rests."""
    write(tmp_path, ADD, 4, "1000", "1000", shown(1000), "")
    with Engine(tmp_path) as engine, ThreadPoolExecutor(4) as clients:
        list(clients.map(lambda number: ask(engine, number, [1] * 1000, start=True), range(1, 5)))
        for _ in range(20):
            list(clients.map(lambda number: ask(engine, number, [1] * 1000), range(1, 5)))
        for run in engine.model("states")._scheduler._runs.values():
            (state,) = run.states.values()
            owner = state if state.base is None else state.base
            assert getattr(owner, "nbytes", state.nbytes) == state.nbytes


def test_an_answer_that_cannot_be_given_leaves_the_sequence_to_go_on(tmp_path: Path):
    write(tmp_path, ADD, 0, "-1", "-1", shown(-1), "")
    with Engine(tmp_path) as engine:
        ask(engine, 1, [1, 2, 3], start=True)
        with pytest.raises(ServerError, match="onnx"):
            ask(engine, 1, [1, 2])
        assert ask(engine, 1, [1, 1, 1]).tolist() == [2, 3, 4]
