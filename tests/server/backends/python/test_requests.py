"""What an `InferenceRequest` that a model builds must be made of."""

from typing import Any

import numpy as np
import pytest

from tcli_server.backends.python.stub import pb_utils

TENSOR = pb_utils.Tensor("INPUT0", np.zeros(2, np.int32))
GIVEN: dict[str, Any] = {"inputs": [TENSOR], "requested_output_names": ["OUTPUT0"], "model_name": "m"}


@pytest.mark.parametrize("argument", [
    "request_id", "correlation_id", "inputs", "requested_output_names", "model_name", "model_version", "flags", "timeout",
    "preferred_memory", "trace",
])  # fmt: skip
def test_nothing_but_parameters_may_be_none(argument: str):
    with pytest.raises(TypeError, match=argument):
        pb_utils.InferenceRequest(**{**GIVEN, argument: None})
    assert pb_utils.InferenceRequest(**GIVEN, parameters=None).parameters() == "{}"


@pytest.mark.parametrize(
    ("argument", "value", "kind", "says"),
    [
        ("inputs", [None], pb_utils.TritonModelException, "should not be empty"),
        ("inputs", [np.zeros(2)], TypeError, "list of Tensor"),
        ("inputs", TENSOR, TypeError, "expected a list, found Tensor"),
        ("requested_output_names", [None], TypeError, "expected a str"),
        ("requested_output_names", [""], pb_utils.TritonModelException, "should not be empty"),
        ("requested_output_names", "OUTPUT0", TypeError, "expected a list, found str"),
        ("correlation_id", 1.5, pb_utils.TritonModelException, "Correlation ID must be integer or string"),
        ("model_version", "1", TypeError, "expected int"),
        ("timeout", -1, TypeError, "no negative"),
        ("flags", -1, TypeError, "no negative"),
        ("preferred_memory", "CPU", TypeError, "expected PreferredMemory"),
        ("trace", "context", TypeError, "expected InferenceTrace"),
        ("parameters", [], pb_utils.TritonModelException, "got <class 'list'>"),
        ("parameters", {1: "a"}, pb_utils.TritonModelException, "keys to have type str, found type <class 'int'>"),
        ("parameters", {"a": 0.5}, pb_utils.TritonModelException, "bool/int/str, found type <class 'float'>"),
        ("parameters", {"a": 2**64}, pb_utils.TritonModelException, "64 bits"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(argument: str, value: object, kind: type[Exception], says: str):
    with pytest.raises(kind, match=says):
        pb_utils.InferenceRequest(**{**GIVEN, argument: value})


def test_what_it_was_made_of_comes_back():
    trace = pb_utils.InferenceTrace()
    memory = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_GPU, 1)
    request = pb_utils.InferenceRequest(
        **GIVEN, correlation_id="s", flags=3, timeout=7, trace=trace, preferred_memory=memory, parameters={"a": 1}
    )
    assert (request.correlation_id(), request.flags(), request.timeout()) == ("s", 3, 7)
    assert request.parameters() == '{"a": 1}'
    assert request.trace() is trace
    assert pb_utils.InferenceRequest(inputs=[], requested_output_names=[], model_name="m").correlation_id() == 0


@pytest.mark.parametrize("parameters", [[], 0, ""])
def test_parameters_of_a_response_are_a_dict(parameters: object):
    with pytest.raises(pb_utils.TritonModelException, match="Expect parameters to be a dict"):
        pb_utils.InferenceResponse(parameters=parameters)  # type: ignore[arg-type]


def test_texts_may_be_bytes_as_they_come_out_of_a_tensor_and_numbers_numpy_s():
    request = pb_utils.InferenceRequest(
        b"7", inputs=[TENSOR], requested_output_names=[b"OUT"], model_name=b"m", timeout=np.int64(5)
    )
    assert (request.request_id(), request.requested_output_names(), request.timeout()) == ("7", {"OUT"}, 5)
    assert pb_utils.Tensor(b"IN", np.zeros(1)).name() == "IN"
    assert pb_utils.TritonError("caf\u00e9".encode()).message() == "caf\u00e9"
    with pytest.raises(TypeError, match="no UTF-8"):
        pb_utils.Tensor(b"\xff", np.zeros(1))
