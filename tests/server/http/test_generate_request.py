"""A generate request's JSON: which members are tensors, of which shape, and which are parameters."""

import json
from math import prod

import numpy as np
import pytest

from tcli_server.datatypes import BY_NAME
from tcli_server.errors import InternalError, InvalidArgumentError, ServerError
from tcli_server.protocols.http.generate_request import decode_generate
from tcli_server.protocols.http.infer_request import QUICK, TakesLongError
from tcli_server.request import InferenceRequest
from tcli_server.spec import ModelSpec, TensorSpec

LIMIT = 64 << 20


def spec(max_batch_size: int = 0, **inputs: tuple) -> ModelSpec:
    """A model's inputs: name -> data type and dimensions."""
    tensors = {
        name: TensorSpec(name, BY_NAME[kind], BY_NAME[kind].dtype, tuple(dims), tuple(dims))
        for name, (kind, *dims) in inputs.items()
    }
    return ModelSpec("m", "1", max_batch_size, tensors, {}, uniform=False)


LLM = spec(PROMPT=("BYTES", 1, 1), STREAM=("BOOL", 1, 1), ids=("INT32", 1, -1))


def decode(document: object, model: ModelSpec = LLM, limit: int = LIMIT) -> InferenceRequest:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return decode_generate(text, "", model, limit)


def test_members_are_tensors_or_parameters():
    request = decode(
        {
            "id": "7",
            "PROMPT": "grüße",
            "STREAM": False,
            "ids": [1, 2, 3],
            "temperature": 0.5,
            "top_k": 3,
            "echo": True,
            "parameters": {"stop": "x", "sequence_id": 5},
            "triton_x": "y",
            "huge": 12345678901234567890,
        }
    )
    assert (request.model_name, request.id, request.sequence_id) == ("m", "7", 0)
    assert {name: array.tolist() for name, array in request.inputs.items()} == {
        "PROMPT": [["grüße".encode()]],
        "STREAM": [[False]],
        "ids": [[1, 2, 3]],
    }
    assert request.inputs["ids"].dtype == np.int32
    assert request.parameters == {
        "temperature": 0.5,
        "top_k": 3,
        "echo": True,
        "stop": "x",
        "sequence_id": 5,
        "triton_x": "y",
        "huge": 1.2345678901234567e19,
    }
    assert isinstance(request.parameters["huge"], float)


def test_integers_that_triton_s_parameters_do_not_hold_are_floats():
    parameters = decode({"fits": 2**63 - 1, "not": 2**63, "low": -(2**63)}).parameters
    assert [type(value) for value in parameters.values()] == [int, float, int]
    assert parameters["fits"] == 2**63 - 1


def test_tensors_may_be_among_the_parameters():
    request = decode({"PROMPT": "a", "parameters": {"STREAM": True}})
    assert request.inputs["STREAM"].tolist() == [[True]]
    assert request.parameters == {}


@pytest.mark.parametrize(
    ("max_batch_size", "dims", "count", "shape"),
    [
        (0, (1,), 1, (1,)),
        (0, (-1,), 5, (5,)),
        (0, (2, -1), 6, (2, 3)),
        (0, (-1, 3), 6, (2, 3)),
        (0, (-1, -1, 2), 6, (1, 3, 2)),
        (0, (2, 3), 6, (2, 3)),
        (0, (-1,), 0, (0,)),
        (8, (4,), 8, (2, 4)),
        (8, (-1,), 8, (1, 8)),
        (8, (1,), 1, (1, 1)),
        (0, (4,), 3, None),
        (0, (4,), 8, None),
        (0, (2, -1), 5, None),
        (8, (4,), 6, None),
        (0, (1, 1), 0, None),
        (0, (0,), 1, None),
    ],
)
def test_the_shape_follows_from_the_number_of_values(max_batch_size: int, dims: tuple, count: int, shape: tuple | None):
    model = spec(max_batch_size, X=("INT64", *dims))
    if shape is None:
        with pytest.raises(
            InvalidArgumentError, match="The schema can not convert input 'X' to tensor with proper shape"
        ):
            decode({"X": list(range(count))}, model)
    else:
        array = decode({"X": list(range(count))}, model).inputs["X"]
        assert (array.shape, array.ravel().tolist()) == (shape, list(range(count)))
        assert prod(shape) == count


@pytest.mark.parametrize(
    ("document", "kind", "said"),
    [
        ({"PROMPT": 1}, InternalError, "JSON non-string as string"),
        ({"PROMPT": None}, InternalError, "JSON non-string as string"),
        ({"PROMPT": {"a": 1}}, InternalError, "JSON non-string as string"),
        ({"PROMPT": {"PROMPT": 1}}, InternalError, "JSON non-string as string"),
        ({"STREAM": "x"}, InternalError, "JSON non-boolean as boolean"),
        ({"STREAM": 1}, InternalError, "JSON non-boolean as boolean"),
        ({"ids": [1, 2.5]}, InternalError, "JSON non-signed-integer as signed-integer"),
        ({"ids": [[1, 2], [3, 4]]}, InternalError, "Shape does not match true shape of 'data' field"),
        ({"PROMPT": ["a", "b"]}, InvalidArgumentError, "can not convert input 'PROMPT'"),
        ({"id": 5}, InternalError, "Unable to parse 'id'"),
        (
            {"other": None},
            InvalidArgumentError,
            "parameter 'other' has invalid type.*its inputs are PROMPT, STREAM, ids",
        ),
        ({"other": [1]}, InvalidArgumentError, "parameter 'other' has invalid type"),
        ({"other": {"a": 1}}, InvalidArgumentError, "parameter 'other' has invalid type"),
        ({"parameters": 1}, InternalError, "Expected JSON object for keyword: 'parameters'"),
        (
            {"parameters": {"a": {"b": 1}}},
            InvalidArgumentError,
            "Converting keyword: 'parameters': parameter 'a' has invalid type.",
        ),
        ({"parameters": {"parameters": {}}}, InvalidArgumentError, "parameter 'parameters' has invalid type"),
        (b'{"PROMPT": "a", "PROMPT": "b"}', InvalidArgumentError, "input 'PROMPT' already exists in request"),
        (
            b'{"id": "7", "STREAM": true, "STREAM" \n : true}',
            InvalidArgumentError,
            r"^\[request id: 7\] input 'STREAM' alre",
        ),
        (
            b'{"PROMPT": "a", "STREAM": true, "STREAM": true, "PROMPT": "b"}',
            InvalidArgumentError,
            "input 'STREAM' already",
        ),
        ({"PROMPT": "a", "parameters": {"PROMPT": "b"}}, InvalidArgumentError, "input 'PROMPT' already exists"),
        (b"", InternalError, "failed to parse the request JSON buffer"),
        (b'{"PROMPT": "a"', InternalError, "failed to parse the request JSON buffer"),
        (b'["PROMPT"]', InternalError, "non-object"),
        (b"[" * 200, InvalidArgumentError, "nesting depth"),
    ],
)
def test_what_is_wrong_is_said(document: object, kind: type[ServerError], said: str):
    with pytest.raises(kind, match=said):
        decode(document)


@pytest.mark.parametrize("text", ['say "PROMPT": now', '"PROMPT"', '\\"PROMPT\\": {'])
def test_a_text_that_looks_like_a_key_is_a_text(text: str):
    for pad in (1, 200_000):
        assert decode({"PROMPT": text * pad}).inputs["PROMPT"].tolist() == [[(text * pad).encode()]]


def test_an_input_called_parameters_cannot_be_told_from_the_keyword():
    with pytest.raises(InvalidArgumentError, match="Keyword 'parameters' for nested schema also given as input"):
        decode({"parameters": {"a": 1}}, spec(parameters=("INT32", 1)))


def test_an_input_called_id_is_also_the_request_s_id():
    request = decode({"id": "a"}, spec(id=("BYTES", 1)))
    assert (request.id, request.inputs["id"].tolist(), request.parameters) == ("a", [b"a"], {})


@pytest.mark.parametrize("kind", ["FP16", "BF16"])
def test_types_without_a_json_form(kind: str):
    with pytest.raises(InvalidArgumentError, match=f"receiving {kind} data via JSON is not supported"):
        decode({"X": [1.0]}, spec(X=(kind, -1)))


def test_a_large_request_is_left_to_a_thread_and_means_the_same():
    document = {
        "PROMPT": 'x"\\é' * 100_000, "ids": list(range(300_000)), "temperature": 0.5, "parameters": {"STREAM": True},
    }  # fmt: skip
    text = json.dumps(document).encode()
    assert len(text) > QUICK
    with pytest.raises(TakesLongError):
        decode_generate(text, "", LLM, LIMIT, quickly=True)
    request = decode(text)
    assert request.inputs["PROMPT"].tolist() == [[document["PROMPT"].encode()]]
    assert request.inputs["ids"].tolist() == [document["ids"]]
    assert request.inputs["STREAM"].tolist() == [[True]]
    assert request.parameters == {"temperature": 0.5}


def test_large_tensors_among_the_parameters_and_under_names_that_need_escapes():
    model = spec(**{"A": ("INT32", -1), 'say "B"': ("INT32", -1)})
    many = list(range(100_000))
    request = decode({"parameters": {"A": many}, 'say "B"': many[:50_000]}, model)
    assert request.inputs["A"].tolist() == many
    assert request.inputs['say "B"'].tolist() == many[:50_000]


def test_a_large_nested_array_is_refused_like_a_small_one():
    with pytest.raises(InternalError, match="Shape does not match true shape of 'data' field"):
        decode({"ids": [[1, 2]] * 100_000})


def test_a_large_request_with_an_input_twice():
    with pytest.raises(InvalidArgumentError, match="input 'PROMPT' already exists in request"):
        decode(b'{"PROMPT": "' + b"x" * 300_000 + b'", "PROMPT": "b"}')


def test_what_is_no_tensor_must_be_of_modest_size():
    with pytest.raises(InvalidArgumentError, match="values beside"):
        decode({"other": list(range(200_000))})


def test_the_size_of_the_body_and_of_all_tensors_is_limited():
    with pytest.raises(
        InvalidArgumentError, match="request JSON size of 34 bytes exceeds the maximum allowed input size"
    ):
        decode(b'{"PROMPT": "' + b"x" * 20 + b'"}', limit=33)
    model = spec(A=("FP64", -1), B=("FP64", -1))
    decode({"A": [1] * 10, "B": [1] * 10}, model, limit=160)
    with pytest.raises(
        InvalidArgumentError, match="80 bytes with input 'B' of size 88 bytes exceeds the maximum allowed"
    ):
        decode({"A": [1] * 10, "B": [1] * 11}, model, limit=160)
    with pytest.raises(InvalidArgumentError, match="exceeds the maximum allowed"):
        decode({"A": [1] * 30}, model, limit=160)
