"""Whether a request fits a model, in Triton's words and its order."""

import numpy as np
import pytest

from tcli_server.datatypes import BY_NAME
from tcli_server.errors import InvalidArgumentError
from tcli_server.models.validation import Validator, validate
from tcli_server.request import InferenceRequest
from tcli_server.spec import ModelSpec, Shape, TensorSpec


def tensor(name: str, dims: Shape, optional: bool = False) -> TensorSpec:
    kind = BY_NAME["FP32"]
    return TensorSpec(name, kind, kind.dtype, dims, dims, optional=optional)


def spec(max_batch_size: int = 4, dims: Shape = (3,), optional: bool = False) -> ModelSpec:
    """A model of inputs A and B and outputs Y and Z; fixed shapes make it uniform."""
    inputs = {"A": tensor("A", dims), "B": tensor("B", dims, optional)}
    outputs = {name: tensor(name, dims) for name in "YZ"}
    return ModelSpec("m", "1", max_batch_size, inputs, outputs, not optional and -1 not in dims)


def request(outputs: tuple[str, ...] = (), **shapes: Shape) -> InferenceRequest:
    return InferenceRequest("m", {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, outputs, id="7")


PAIR = {"A": (2, 3), "B": (2, 3)}
BATCHES, ALONE, VARIABLE = spec(), spec(0), spec(dims=(-1, 3))


@pytest.mark.parametrize(("model", "shapes", "size"), [
    (BATCHES, PAIR, 2),
    (BATCHES, {"A": (1, 3), "B": (1, 3)}, 1),
    (BATCHES, {"A": (4, 3), "B": (4, 3)}, 4),
    (ALONE, {"A": (3,), "B": (3,)}, 1),
    (spec(0, (-1,)), {"A": (3,), "B": (5,)}, 1),
    (VARIABLE, {"A": (2, 7, 3), "B": (2, 1, 3)}, 2),
    (VARIABLE, {"A": (4, 7, 3), "B": (4, 1, 3)}, 4),
    (VARIABLE, {"A": (1, 7, 3), "B": (1, 1, 3)}, 1),
    (spec(optional=True), {"A": (2, 3)}, 2),
    (spec(optional=True), PAIR, 2),
])  # fmt: skip
@pytest.mark.parametrize("outputs", [(), ("Z",), ("Z", "Y")])
def test_what_fits_has_its_batch_size(model: ModelSpec, shapes: dict, size: int, outputs: tuple[str, ...]):
    made = request(outputs, **shapes)
    validate(made, model)
    assert made.batch_size == size


def test_a_request_without_any_input_is_one_inference():
    inputs = {"A": tensor("A", (3,), optional=True)}
    made = request()
    validate(made, ModelSpec("m", "1", 4, inputs, {}, False))
    assert made.batch_size == 1


def test_only_requests_of_equal_shapes_have_equal_keys():
    def key(model: ModelSpec, **shapes: Shape) -> object:
        made = request(**shapes)
        validate(made, model)
        return made.shape_key

    assert key(BATCHES, **PAIR) == key(BATCHES, A=(1, 3), B=(1, 3)) == ()
    wide = key(VARIABLE, A=(2, 7, 3), B=(2, 1, 3))
    assert wide == key(VARIABLE, B=(1, 1, 3), A=(1, 7, 3)), "neither batch size nor order matters"
    assert wide != key(VARIABLE, A=(2, 1, 3), B=(2, 7, 3))
    assert key(spec(optional=True), A=(1, 3)) != key(spec(optional=True), A=(1, 3), B=(1, 3))
    assert key(spec(0, (-1,)), A=(2,), B=(2,)) != key(spec(0, (-1,)), A=(1,), B=(2,))


@pytest.mark.parametrize(("model", "made", "words"), [
    (BATCHES, request(("X",), **PAIR), "unexpected inference output 'X' for model 'm'"),
    (BATCHES, request(("Y", "Y"), **PAIR), "output 'Y' already exists in request"),
    (BATCHES, request(("Y", "Z", "Z"), **PAIR), "output 'Z' already exists in request"),
    (BATCHES, request(A=(1, 3)), "expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['A'], but missing "
                                 "required input(s) ['B']. Please provide all required input(s)."),
    (BATCHES, request(), "expected 2 inputs but got 0 inputs for model 'm'. Got input(s) [], but missing required "
                         "input(s) ['A','B']. Please provide all required input(s)."),
    (BATCHES, request(C=(1, 3), D=(1, 3), **PAIR), "expected 2 inputs but got 4 inputs for model 'm'. Got input(s) "
                                                   "['C','D','A','B']; the model has no input(s) ['C','D']."),
    (BATCHES, request(A=(1, 3), C=(1, 3)), "unexpected inference input 'C' for model 'm'"),
    (BATCHES, request(C=(1, 3), B=(1, 3)), "unexpected inference input 'C' for model 'm'"),
    (ALONE, request(C=(3,), B=(3,)), "unexpected inference input 'C' for model 'm'"),
    (spec(optional=True), request(), "expected number of inputs between 1 and 2 but got 0 inputs for model 'm'. Got "
                                     "input(s) [], but missing required input(s) ['A']. Please provide all required "
                                     "input(s)."),
    (spec(optional=True), request(A=(1, 3), C=(1, 3)), "unexpected inference input 'C' for model 'm'"),
    (BATCHES, request(A=(), B=(2, 3)), "input 'A' has no shape but model requires batch dimension for 'm'"),
    (BATCHES, request(A=(1, 3), B=(2, 3)), "input 'B' batch size does not match other inputs for 'm'"),
    (BATCHES, request(A=(5, 3), B=(5, 3)), "inference request batch-size must be <= 4 for 'm'"),
    (BATCHES, request(A=(0, 3), B=(0, 3)), "inference request batch-size must be >= 1 for 'm', got 0"),
    (ALONE, request(A=(1, 3), B=(3,)), "unexpected shape for input 'A' for model 'm'. Expected [3], got [1,3]."),
    (ALONE, request(A=(3,), B=(4,)), "unexpected shape for input 'B' for model 'm'. Expected [3], got [4]."),
    (ALONE, request(A=(4,), B=(4,)), "unexpected shape for input 'A' for model 'm'. Expected [3], got [4]."),
    (BATCHES, request(A=(1, 3), B=(1, 4)), "unexpected shape for input 'B' for model 'm'. Expected [-1,3], got [1,4]. "
     "NOTE: the model's max_batch_size is 4, so every input has a leading batch dimension that the configuration's dims "
     "do not list."),
    (VARIABLE, request(A=(1, 9, 3), B=(1, 9, 4)), "unexpected shape for input 'B' for model 'm'. Expected [-1,-1,3], got "
     "[1,9,4]. NOTE: the model's max_batch_size is 4, so every input has a leading batch dimension that the "
     "configuration's dims do not list."),
])  # fmt: skip
def test_what_does_not_fit_is_told(model: ModelSpec, made: InferenceRequest, words: str):
    with pytest.raises(InvalidArgumentError) as refusal:
        validate(made, model)
    assert str(refusal.value) == f"[request id: 7] {words}"


def test_inputs_that_are_all_of_the_same_wrong_shape():
    with pytest.raises(InvalidArgumentError, match=r"input 'A' for model 'm'. Expected \[-1,3\], got \[1,4\]"):
        validate(request(A=(1, 4), B=(1, 4)), BATCHES)
    with pytest.raises(InvalidArgumentError, match=r"input 'A' for model 'm'. Expected \[-1\], got \[2,5\]"):
        validate(request(A=(2, 5), B=(2, 5)), spec(dims=()))


@pytest.mark.parametrize("model", [BATCHES, ALONE], ids=["batches", "alone"])
@pytest.mark.parametrize(("dtype", "found"), [(np.int32, "INT32"), (np.complex64, "unknown")])
def test_another_data_type(model: ModelSpec, dtype: type, found: str):
    shape = (1, 3) if model.max_batch_size else (3,)
    for wrong in ("B", "BA"):
        made = InferenceRequest("m", {name: np.zeros(shape, dtype if name in wrong else np.float32) for name in "AB"})
        with pytest.raises(InvalidArgumentError) as refusal:
            validate(made, model)
        assert str(refusal.value) == (
            f"[request id: <id_unknown>] inference input '{wrong[-1]}' data-type is '{found}', but model 'm' expects "
            "'FP32'"
        )


def test_a_kind_that_fits_is_judged_once_and_one_that_does_not_is_refused_each_time():
    validator = Validator(BATCHES)
    fits, wrong = object(), object()
    for _ in range(2):
        for kind, shapes, size in ((fits, PAIR, 2), (None, {"A": (1, 3), "B": (1, 3)}, 1), (None, PAIR, 2)):
            made = request(**shapes)
            made.kind = kind
            validator.check(made)
            assert (made.batch_size, made.shape_key) == (size, ())
        for kind in (wrong, None):
            made = request(A=(2, 3), B=(1, 3))
            made.kind = kind
            with pytest.raises(InvalidArgumentError, match="batch size does not match"):
                validator.check(made)


def test_requests_of_one_kind_to_a_model_of_variable_shapes_have_their_key():
    validator, kind = Validator(VARIABLE), object()
    for _ in range(2):
        made = request(A=(2, 7, 3), B=(2, 1, 3))
        made.kind = kind
        validator.check(made)
        assert (made.batch_size, made.shape_key) == (2, (("A", (7, 3)), ("B", (1, 3))))
