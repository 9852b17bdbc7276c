"""Raw binary requests: the model's shape decides what the bytes are."""

import numpy as np
import pytest

from tcli_server.datatypes import BY_NAME
from tcli_server.errors import InvalidArgumentError
from tcli_server.models.raw_input import shape_raw_input
from tcli_server.request import InferenceRequest
from tcli_server.spec import ModelSpec, Shape, TensorSpec


def spec(dims: Shape, datatype: str = "FP32", max_batch_size: int = 0, inputs: int = 1) -> ModelSpec:
    kind = BY_NAME[datatype]
    tensors = {f"I{number}": TensorSpec(f"I{number}", kind, kind.dtype, dims, dims) for number in range(inputs)}
    return ModelSpec("m", "1", max_batch_size, tensors, {}, True)


def shaped(raw: bytes | memoryview, model: ModelSpec) -> np.ndarray:
    request = InferenceRequest("m", {}, raw_input=raw)
    shape_raw_input(request, model)
    assert request.raw_input is None
    (array,) = request.inputs.values()
    return array


@pytest.mark.parametrize(
    ("dims", "max_batch_size", "shape"),
    [
        ((4,), 0, (4,)),
        ((4,), 8, (1, 4)),
        ((-1,), 0, (4,)),
        ((2, -1), 8, (1, 2, 2)),
        ((1, 2, 2), 0, (1, 2, 2)),
        ((), 0, None),
    ],
)
def test_shapes(dims: Shape, max_batch_size: int, shape: Shape | None):
    values = np.arange(4 if shape else 1, dtype=np.float32)
    array = shaped(values.tobytes(), spec(dims, max_batch_size=max_batch_size))
    assert array.shape == (shape or ())
    assert np.array_equal(array.ravel(), values)


def test_the_array_is_a_view_of_the_body():
    body = np.arange(4, dtype=np.float32).tobytes()
    assert np.shares_memory(shaped(memoryview(body), spec((4,))), np.frombuffer(body, np.float32))


@pytest.mark.parametrize("content", [b"", b"text", b"ends with zeros\0\0", b"\xff"])
@pytest.mark.parametrize("max_batch_size", [0, 8])
def test_a_string_is_the_whole_body(content: bytes, max_batch_size: int):
    array = shaped(content, spec((1,), "BYTES", max_batch_size))
    assert array.shape == ((1, 1) if max_batch_size else (1,))
    assert array.ravel().tolist() == [content]


@pytest.mark.parametrize(
    ("raw", "model", "message"),
    [
        (bytes(16), spec((4,), inputs=3), r"must only have 1 input \(found 1\) to be deduced but got 3 inputs in 'm'"),
        (bytes(16), spec((-1, -1)), "can not be deduced because there are more than one variable sized dimensions"),
        (bytes(16), spec((2,), "BYTES"), r"For BYTE datatype raw input 'I0', the model must have input shape \[1\]"),
        (bytes(16), spec((-1,), "BYTES"), r"must have input shape \[1\]"),
        (bytes(16), spec((-1, -1), "BYTES"), r"must have input shape \[1\]"),
        (bytes(15), spec((4,)), "Expected 16, got 15"),
        (bytes(17), spec((-1,)), "Expected 16, got 17"),
        (bytes(17), spec((0, -1)), "Expected 0, got 17"),
    ],
)
def test_bytes_that_do_not_fit(raw: bytes, model: ModelSpec, message: str):
    with pytest.raises(InvalidArgumentError, match=message):
        shaped(raw, model)


def test_other_requests_are_left_alone():
    request = InferenceRequest("m", {"x": np.zeros(3)})
    shape_raw_input(request, spec((4,), inputs=2))
    assert list(request.inputs) == ["x"]
