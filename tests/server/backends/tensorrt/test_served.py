"""TensorRT engines over HTTP and gRPC. No library of NVIDIA's runs here: strict stand-ins do what their documentation says."""

from collections.abc import Callable, Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from serve_command import Serving, serving
from tensorrt_plans import add_sub, plan, stand_ins, tensor, write_plan

Ask = Callable[..., list[np.ndarray]]

TYPES = {
    "FLOAT": ("FP32", np.float32),
    "HALF": ("FP16", np.float16),
    "BF16": ("BF16", ml_dtypes.bfloat16),
    "INT8": ("INT8", np.int8),
    "UINT8": ("UINT8", np.uint8),
    "INT32": ("INT32", np.int32),
    "INT64": ("INT64", np.int64),
    "BOOL": ("BOOL", np.bool_),
}

TWO_PROFILES = plan(
    [tensor("X", (-1, -1)), tensor("Y", (-1, -1))],
    {"Y": "X * 2"},
    [{"X": [[1, 4], [2, 8], [4, 16]]}, {"X": [[1, 16], [2, 32], [2, 64]]}],
)
NONZERO = plan(
    [tensor("X", (-1, 4)), tensor("Y", (2, -1), "INT64", depends_on_values=True), tensor("N", (-1, 4))],
    {"Y": "np.array(np.nonzero(X))", "N": "-X"},
    [{"X": [[1, 4], [2, 4], [8, 4]]}],
)
SHAPED = plan(
    [
        tensor("X", (1,)),
        tensor("SIZE", (2,), "INT64", is_shape=True, host=True),
        tensor("Y", (-1, -1)),
        tensor("TOLD", (2,), "INT64", is_shape=True, host=True),
    ],
    {"Y": "np.full(SIZE, X[0])", "TOLD": "SIZE"},
    [{"shapes": {}, "values": {"SIZE": [[1, 1], [2, 2], [4, 8]]}}],
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    write_plan(models, "add_sub", add_sub())
    write_plan(models, "twice", add_sub(), "instance_group { count: 3 }")
    write_plan(models, "fixed", add_sub(4))
    write_plan(models, "filled", add_sub(4), "max_batch_size: 4")
    write_plan(models, "many_at_least", add_sub(least=4))
    write_plan(models, "both", TWO_PROFILES, 'instance_group { profile: [ "0", "1" ] }')
    write_plan(models, "second", TWO_PROFILES, 'instance_group { profile: [ "1" ] }')
    write_plan(models, "first", TWO_PROFILES)
    write_plan(models, "nonzero", NONZERO, "max_batch_size: 0")
    write_plan(models, "shaped", SHAPED)
    write_plan(models, "failing", add_sub(fails="Cask: no kernel image is available"))
    for kind in TYPES:
        content = plan(
            [tensor("X", (-1, 3), kind), tensor("Y", (-1, 3), kind)], {"Y": "X"}, [{"X": [[1, 3]] * 2 + [[8, 3]]}]
        )
        write_plan(models, f"same_{kind}", content)
    dla = (
        "instance_group { secondary_devices { kind: KIND_NVDLA device_id: 1 } } optimization { priority: PRIORITY_MAX }"
    )
    strategy = 'parameters { key: "execution_context_allocation_strategy" value { string_value: "ON_PROFILE_CHANGE" } }'
    write_plan(models, "options", add_sub(), dla + strategy)
    return models


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Serving]:
    with stand_ins(), serving("--model-repository", repository) as started:
        yield started


@pytest.fixture(params=["http", "grpc"])
def ask(request: pytest.FixtureRequest, server: Serving) -> Iterator[Ask]:
    kind, address = (triton_http, server.url("HTTP")) if request.param == "http" else (triton_grpc, server.url("gRPC"))
    with kind.InferenceServerClient(address) as client:

        def infer(model: str, outputs: list[str], **inputs: np.ndarray) -> list[np.ndarray]:
            tensors = []
            for name, array in inputs.items():
                datatype = next(row for row, dtype in TYPES.values() if dtype == array.dtype)
                tensors.append(kind.InferInput(name, list(array.shape), datatype))
                tensors[-1].set_data_from_numpy(array)
            answer = client.infer(model, tensors, outputs=[kind.InferRequestedOutput(name) for name in outputs])
            return [answer.as_numpy(name) for name in outputs]

        yield infer


@pytest.fixture(scope="module")
def client(server: Serving) -> Iterator[triton_http.InferenceServerClient]:
    with triton_http.InferenceServerClient(server.url("HTTP"), concurrency=16) as connected:
        yield connected


def numbers(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("model", ["add_sub", "twice", "options", "filled", "many_at_least"])
def test_batches_of_any_size_are_answered(ask: Ask, model: str):
    for rows in (1, 4, 2, 3):
        one, two = numbers(rows, 16, seed=rows), numbers(rows, 16, seed=9)
        plus, minus = ask(model, ["OUTPUT0", "OUTPUT1"], INPUT0=one, INPUT1=two)
        np.testing.assert_array_equal(plus, one + two)
        np.testing.assert_array_equal(minus, one - two)
        (alone,) = ask(model, ["OUTPUT1"], INPUT0=one, INPUT1=two)
        np.testing.assert_array_equal(alone, one - two)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_that_tensorrt_has_passes(ask: Ask, kind: str):
    given = (numbers(2, 3) * 50).astype(TYPES[kind][1])
    (answer,) = ask(f"same_{kind}", ["Y"], X=given)
    assert np.array_equal(answer.astype(np.float64), given.astype(np.float64))


def test_what_the_configuration_leaves_out_comes_from_the_engine(client: triton_http.InferenceServerClient):
    config = client.get_model_config("add_sub")
    assert config["platform"] == "tensorrt_plan"
    assert config["max_batch_size"] == 8
    assert "dynamic_batching" in config
    assert [(row["name"], row["data_type"], row["dims"]) for row in (*config["input"], *config["output"])] == [
        (name, "TYPE_FP32", [16]) for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")
    ]
    (group,) = config["instance_group"]
    assert (group["kind"], group["gpus"]) == ("KIND_GPU", [0])


def test_an_engine_of_a_fixed_batch_is_served_as_it_is_or_filled_up(
    client: triton_http.InferenceServerClient, ask: Ask
):
    fixed = client.get_model_config("fixed")
    assert fixed["max_batch_size"] == 0
    assert fixed["input"][0]["dims"] == [4, 16]
    with pytest.raises(InferenceServerException, match=r"Expected \[4,16\]"):
        ask("fixed", ["OUTPUT0"], INPUT0=numbers(2, 16), INPUT1=numbers(2, 16))
    given = numbers(4, 16)
    np.testing.assert_array_equal(ask("fixed", ["OUTPUT0"], INPUT0=given, INPUT1=given)[0], given * 2)
    assert client.get_model_config("filled")["input"][0]["dims"] == [16]


def test_requests_that_come_together_keep_their_answers(client: triton_http.InferenceServerClient):
    given = {number: numbers(1 + number % 3, 16, seed=number) for number in range(60)}
    waiting = {}
    for number, array in given.items():
        tensors = [triton_http.InferInput(name, list(array.shape), "FP32") for name in ("INPUT0", "INPUT1")]
        for one in tensors:
            one.set_data_from_numpy(array)
        waiting[number] = client.async_infer("twice", tensors)
    for number, answer in waiting.items():
        np.testing.assert_array_equal(answer.get_result().as_numpy("OUTPUT0"), given[number] * 2)


@pytest.mark.parametrize(("model", "columns"), [("first", 4), ("first", 16), ("second", 16), ("second", 64), ("both", 4),
                                                ("both", 16), ("both", 17), ("both", 64), ("both", 5)])  # fmt: skip
def test_a_batch_runs_by_a_profile_that_takes_it(ask: Ask, model: str, columns: int):
    given = numbers(2, columns)
    np.testing.assert_array_equal(ask(model, ["Y"], X=given)[0], given * 2)


@pytest.mark.parametrize(("model", "columns", "words"), [
    ("first", 17, "request specifies invalid shape for input 'X'. Error details: model expected the shape of dimension 1 "
     "to be between 4 and 16 but received 17"),
    ("second", 15, "dimension 1 to be between 16 and 64 but received 15"),
    ("both", 65, r"failed to find any Optimization Profile among \[ 0\[0\] 1\[1\]\]"),
])  # fmt: skip
def test_what_no_profile_takes_is_refused_with_its_limits(ask: Ask, model: str, columns: int, words: str):
    with pytest.raises(InferenceServerException, match=words):
        ask(model, ["Y"], X=numbers(1, columns))


def test_the_largest_batch_is_that_of_the_chosen_profiles(client: triton_http.InferenceServerClient):
    sizes = [client.get_model_config(name)["max_batch_size"] for name in ("first", "second", "both")]
    assert sizes == [4, 2, 4]


def test_a_large_batch_of_one_profile_does_not_go_by_the_other(ask: Ask):
    np.testing.assert_array_equal(ask("both", ["Y"], X=numbers(4, 16))[0], numbers(4, 16) * 2)
    with pytest.raises(InferenceServerException, match="failed to find any Optimization Profile"):
        ask("both", ["Y"], X=numbers(3, 64))


def test_an_output_whose_size_its_values_decide(ask: Ask):
    for given in (np.eye(4), np.ones((8, 4)), np.zeros((1, 4)), np.eye(4)):
        array = given.astype(np.float32)
        places, negative = ask("nonzero", ["Y", "N"], X=array)
        np.testing.assert_array_equal(places, np.array(np.nonzero(array)))
        np.testing.assert_array_equal(negative, -array)


def test_shape_tensors_decide_about_shapes(ask: Ask):
    for size in ([1, 1], [4, 8], [2, 3]):
        answer, told = ask("shaped", ["Y", "TOLD"], X=np.ones(1, np.float32), SIZE=np.array(size))
        np.testing.assert_array_equal(answer, np.ones(size, np.float32))
        assert told.tolist() == size
    with pytest.raises(InferenceServerException, match="index 1 is expected to be between 1 and 8, but got 9"):
        ask("shaped", ["Y"], X=np.ones(1, np.float32), SIZE=np.array([1, 9]))


def test_a_run_that_fails_says_what_tensorrt_says(ask: Ask):
    for _ in range(2):
        with pytest.raises(InferenceServerException, match="no kernel image is available"):
            ask("failing", ["OUTPUT0"], INPUT0=numbers(1, 16), INPUT1=numbers(1, 16))
