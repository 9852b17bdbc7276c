"""Models of PyTorch, served and compared with what PyTorch itself answers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from asked_server import PROTOCOLS, AskedServer

torch = pytest.importorskip("torch")
import torch_models as models  # noqa: E402
from torch_models import tensor  # noqa: E402

X, Y = np.arange(8, dtype=np.float32).reshape(2, 4), np.ones((2, 3), np.float32)
BATCH = torch.export.Dim("batch")
ADD_SUB = "max_batch_size: 8\n" + tensor("input", "INPUT__0", "4") + tensor("input", "INPUT__1", "3")
RESULTS = tensor("output", "OUTPUT__0", "3") + tensor("output", "OUTPUT__1", "3")
SEQUENCES = """
input { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 1 ] }
sequence_batching {
  control_input { name: "INPUT__1" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
  state { input_name: "INPUT__2" output_name: "OUTPUT__1" data_type: TYPE_FP32 dims: [ 1 ] }
}
"""
NAMED = "max_batch_size: 8\n" + tensor("input", "y", "3") + tensor("input", "x", "4")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskedServer]:
    folder = tmp_path_factory.mktemp("models")
    add_sub, identity = models.AddSub(), models.Identity()
    models.write_script(folder, "by_index", add_sub, ADD_SUB + RESULTS, count=2)
    models.write_script(folder, "by_argument", add_sub, NAMED + tensor("output", "OUTPUT__1", "3"))
    in_order = tensor("input", "first", "4") + tensor("input", "second", "3")
    in_order += tensor("output", "plus", "3") + tensor("output", "minus", "3")
    models.write_script(folder, "in_order", add_sub, f"max_batch_size: 8\n{in_order}")
    keyed = tensor("output", "difference", "3") + tensor("output", "sum", "3")
    models.write_script(folder, "dict_out", models.Named(), NAMED + keyed)
    models.write_script(folder, "wrong_key", models.Named(), NAMED + tensor("output", "total", "3"))
    dict_in = tensor("input", "b", "-1") + tensor("input", "a", "-1") + tensor("output", "OUTPUT__0", "-1")
    models.write_script(folder, "dict_in", models.FromDict(), dict_in)
    words = tensor("input", "words", "1", "STRING") + tensor("output", "OUTPUT__0", "1", "STRING")
    models.write_script(folder, "shout", models.Shout(), f"max_batch_size: 4\n{words}")
    length = tensor("input", "words", "1", "STRING") + tensor("input", "scale", "1", "INT64")
    length += tensor("output", "OUTPUT__0", "1", "INT64")
    models.write_script(folder, "length", models.Length(), f"max_batch_size: 4\n{length}dynamic_batching {{}}")
    io = tensor("input", "x", "-1") + tensor("output", "OUTPUT__0", "-1")
    models.write_script(folder, "identity", identity, f"max_batch_size: 8\n{io}")
    models.write_script(folder, "writes", models.Writes(), f"max_batch_size: 8\n{io}")
    models.write_script(folder, "drops", models.Drops(), f"max_batch_size: 8\n{io}")
    models.write_script(folder, "constant", models.Constant(), io)
    optional = tensor("input", "mask", "-1").replace("}", "optional: true }")
    models.write_script(folder, "masked", models.Masked(), io + optional)
    models.write_script(folder, "mean", models.Mean(), io)
    models.write_exported(folder, "exported_mean", models.Mean(), (torch.rand(3),))
    models.write_script(folder, "sums", models.Sums(), f"max_batch_size: 2\n{SEQUENCES}")
    delay = "dynamic_batching { max_queue_delay_microseconds: 200000 preferred_batch_size: [ 8 ] }"
    models.write_script(folder, "fails", models.Fails(), f"max_batch_size: 8\n{io}{delay}")
    models.write_script(folder, "batched", add_sub, ADD_SUB + RESULTS + delay)
    wrong = tensor("input", "x", "-1") + tensor("output", "OUTPUT__0", "-1", "INT32")
    models.write_script(folder, "wrong_type", identity, wrong)
    examples = (torch.rand(2, 4), torch.rand(2, 3))
    both = {"x": {0: BATCH}, "y": {0: BATCH}}
    models.write_exported(folder, "exported", add_sub, examples, shapes=both)
    models.write_exported(folder, "exported_dict", models.Named(), examples, shapes=both)
    models.write_exported(folder, "exported_index", add_sub, examples, ADD_SUB + RESULTS, shapes=both)
    paths = tensor("input", "ARGS[0]", "2, 4") + tensor("input", "KWARGS[y]", "2, 3")
    paths += tensor("output", "RESULT[1]", "2, 3") + tensor("output", "RESULT[0]", "2, 3")
    models.write_exported(folder, "exported_paths", add_sub, examples[:1], paths, y=examples[1])
    models.write_exported(folder, "exported_writes", models.Writes(), (torch.rand(2, 4),), shapes={"x": {0: BATCH}})
    for dtype in DTYPES:
        example = torch.zeros(2, 3, dtype=dtype)
        shapes = {"x": {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}}
        models.write_exported(folder, f"identity_{dtype}"[15:], models.Identity(), (example,), shapes=shapes)
    with AskedServer(folder) as running:
        yield running


DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.float32, torch.float64),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("model", "inputs", "outputs"),
    [
        ("by_index", ("INPUT__0", "INPUT__1"), ("OUTPUT__0", "OUTPUT__1")),
        ("by_argument", ("x", "y"), (None, "OUTPUT__1")),
        ("in_order", ("first", "second"), ("plus", "minus")),
        ("dict_out", ("x", "y"), ("sum", "difference")),
        ("batched", ("INPUT__0", "INPUT__1"), ("OUTPUT__0", "OUTPUT__1")),
        ("exported", ("x", "y"), ("OUTPUT__0", "OUTPUT__1")),
        ("exported_dict", ("x", "y"), ("sum", "difference")),
        ("exported_index", ("INPUT__0", "INPUT__1"), ("OUTPUT__0", "OUTPUT__1")),
        ("exported_paths", ("ARGS[0]", "KWARGS[y]"), ("RESULT[0]", "RESULT[1]")),
    ],
)
def test_the_same_answers_as_pytorch(
    server: AskedServer, protocol: str, model: str, inputs: tuple[str, str], outputs: tuple[str | None, ...]
):
    with torch.no_grad():
        expected = models.AddSub()(torch.from_numpy(X), torch.from_numpy(Y))
    answers = server.ask(protocol, model, dict(zip(inputs, (X, Y), strict=True)))
    assert set(answers) == {name for name in outputs if name}
    for name, right in zip(outputs, expected, strict=True):
        if name:
            np.testing.assert_allclose(answers[name], right.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_dictionary_of_inputs(server: AskedServer, protocol: str):
    inputs = {"a": np.float32([5, 6]), "b": np.float32([1, 2])}
    assert server.ask(protocol, "dict_in", inputs)["OUTPUT__0"].tolist() == [4, 4]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_strings(server: AskedServer, protocol: str):
    words = np.array([["grün"], [""], ["x"]], np.object_)
    answer = server.ask(protocol, "shout", {"words": words})["OUTPUT__0"]
    assert [word.decode() for word in answer.ravel()] == ["grün!", "!", "x!"]
    assert answer.shape == (3, 1)
    scale = np.array([[2], [3], [4]], np.int64)
    assert server.ask(protocol, "length", {"words": words, "scale": scale})["OUTPUT__0"].tolist() == [
        [10],
        [0],
        [4],
    ]  # bytes
    with pytest.raises(InferenceServerException, match="'words' holds bytes that are no UTF-8 text"):
        server.ask(protocol, "shout", {"words": np.array([[b"\xff"]], np.object_)})


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type(server: AskedServer, protocol: str, dtype: object):
    name = f"identity_{dtype}"[15:]
    array = torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=dtype).numpy()
    answer = server.ask(protocol, name, {"x": array})["OUTPUT__0"]
    assert answer.dtype == array.dtype
    np.testing.assert_array_equal(answer, array)


def test_bfloat16_goes_through_unchanged(tmp_path: Path):
    import ml_dtypes

    from tcli_server import Engine

    models.write_exported(tmp_path, "half", models.Identity(), (torch.zeros(2, dtype=torch.bfloat16),))
    with Engine(tmp_path) as engine:
        array = np.array([1.5, -2], ml_dtypes.bfloat16)
        answer = engine.infer("half", {"x": array}).outputs["OUTPUT__0"]
    assert answer.dtype == array.dtype
    assert answer.tolist() == array.tolist()


@pytest.mark.parametrize("model", ["writes", "exported_writes"])
def test_a_model_that_writes_into_its_input_changes_nothing_of_the_callers(server: AskedServer, model: str):
    array = np.zeros((2, 4), np.float32)
    for _ in range(2):
        answer = server.engine.infer(model, {"x": array}).outputs["OUTPUT__0"]
        assert (answer == 1).all()
    assert (array == 0).all()


def test_answers_are_the_callers_own(server: AskedServer):
    array = np.zeros((1, 4), np.float32)
    answer = server.engine.infer("identity", {"x": array}).outputs["OUTPUT__0"]
    array[:] = 7
    assert (answer == 0).all()
    first = server.engine.infer("constant", {"x": array[0]}).outputs["OUTPUT__0"]
    first[:] = 9
    assert server.engine.infer("constant", {"x": array[0]}).outputs["OUTPUT__0"].tolist() == [0, 1, 2, 3]


def test_sequences_with_a_state(server: AskedServer):
    def told(sequence: int, value: float, **flags: bool) -> float:
        x = np.full((1, 1), value, np.float32)
        answer = server.engine.infer("sums", {"INPUT__0": x}, sequence_id=sequence, **flags)
        return float(answer.outputs["OUTPUT__0"][0, 0])

    assert (told(1, 5, sequence_start=True), told(2, 7, sequence_start=True)) == (5, 7)
    assert (told(1, 1), told(2, 2), told(1, 1, sequence_end=True), told(2, 2, sequence_end=True)) == (6, 9, 7, 11)


def test_a_tensor_without_dimensions(server: AskedServer):
    x = np.float32([1, 2, 3])
    assert server.ask("http", "exported_mean", {"x": x})["OUTPUT__0"].tolist() == [2]
    with pytest.raises(InferenceServerException, match="output 'OUTPUT__0' is a scalar which is not supported"):
        server.ask("http", "mean", {"x": x})


def test_what_is_left_out_has_the_files_own_value(server: AskedServer):
    x, mask = np.float32([1, 2]), np.float32([0, 2])
    assert server.ask("http", "masked", {"x": x})["OUTPUT__0"].tolist() == [1, 2]
    assert server.ask("http", "masked", {"x": x, "mask": mask})["OUTPUT__0"].tolist() == [0, 4]


def test_a_model_saved_while_it_was_trained_answers_as_one_that_is_used(server: AskedServer):
    x = np.ones((1, 64), np.float32)
    assert (server.ask("http", "drops", {"x": x})["OUTPUT__0"] == 1).all()


def test_an_exported_program_completes_its_configuration(server: AskedServer):
    config = server.engine.model("exported_dict").config
    assert (config.backend, config.platform, config.default_model_filename) == (
        "pytorch",
        "pytorch_libtorch",
        "model.pt2",
    )
    assert [(item.name, list(item.dims)) for item in config.input] == [("x", [4]), ("y", [3])]
    assert [(item.name, list(item.dims)) for item in config.output] == [("sum", [3]), ("difference", [3])]
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (4, True)


def test_requests_share_batches(server: AskedServer):
    statistics = server.engine.model("batched").statistics
    before = statistics.to_message("", "").execution_count
    rows = [np.full((1, 4), value, np.float32) for value in range(8)]
    y = np.zeros((1, 3), np.float32)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda x: server.ask("grpc", "batched", {"INPUT__0": x, "INPUT__1": y}), rows))
    with torch.no_grad():
        expected = models.AddSub()(torch.from_numpy(np.concatenate(rows)), torch.zeros(8, 3))[0].numpy()
    np.testing.assert_allclose(np.concatenate([each["OUTPUT__0"] for each in answers]), expected, rtol=1e-5, atol=1e-6)
    assert statistics.to_message("", "").execution_count - before < 8


def test_a_request_that_the_model_cannot_run_fails_alone(server: AskedServer):
    rows = [np.full((1, 2), value, np.float32) for value in (1, 2, -1, 3)]

    def asked(x: np.ndarray) -> object:
        try:
            return server.ask("http", "fails", {"x": x})["OUTPUT__0"].tolist()
        except InferenceServerException as error:
            return error.message()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(asked, rows))
    assert [answers[0], answers[1], answers[3]] == [[[2, 2]], [[4, 4]], [[6, 6]]]
    assert "PyTorch execute failure: " in answers[2]
    assert "a negative number" in answers[2]
    assert "\n" not in answers[2]


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (
            "wrong_type",
            {"x": np.float32([1])},
            "configuration expects datatype TYPE_INT32 for output 'OUTPUT__0', model",
        ),
        (
            "wrong_key",
            {"x": X, "y": Y},
            "'total' refers to an output which doesn't exist. This model answers sum, diff",
        ),
        ("exported", {"x": X, "y": Y[:, :2]}, "unexpected shape for input 'y'"),
    ],
)
def test_what_only_a_run_shows(server: AskedServer, model: str, inputs: dict[str, np.ndarray], message: str):
    with pytest.raises(InferenceServerException) as caught:
        server.ask("http", model, inputs)
    assert message in caught.value.message()
    assert "\n" not in caught.value.message()
