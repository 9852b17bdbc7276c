"""Messages are read without their model; what Triton knows by name goes where the scheduler looks for it."""

import pytest
from tritonclient.grpc import service_pb2 as pb

from tcli_server.errors import InvalidArgumentError
from tcli_server.protocols.grpc.infer_request import decode_request


def message(**parameters: object) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="nobody's model", model_version="3", id="x")
    request.inputs.add(name="I", datatype="INT8", shape=[2])
    for name, value in parameters.items():
        field = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[type(value)]
        setattr(request.parameters[name], field, value)
    return request


def test_a_request_needs_no_model():
    request, classes = decode_request(message(), [b"\x01\x02"])
    assert (request.model_name, request.model_version, request.id) == ("nobody's model", "3", "x")
    assert request.inputs["I"].tolist() == [1, 2]
    assert (request.outputs, request.parameters, dict(classes)) == ((), {}, {})


def test_priority_and_timeout_are_no_parameters_of_the_model():
    given = message(
        priority=2,
        timeout=1_500,
        sequence_id="s",
        sequence_start=True,
        mine=0.5,
        triton_enable_empty_final_response=True,
    )
    request, _ = decode_request(given, [b"\x01\x02"])
    assert (request.priority, request.timeout_us) == (2, 1_500)
    assert (request.sequence_id, request.sequence_start, request.sequence_end) == ("s", True, False)
    assert request.parameters == {"mine": 0.5}


def test_a_negative_timeout_is_none():
    request, _ = decode_request(message(timeout=-1), [b"\x01\x02"])
    assert request.timeout_us == 0


def test_outputs_keep_their_order_and_say_how_many_classes_are_wanted():
    given = message()
    given.outputs.add(name="B").parameters["classification"].int64_param = 3
    given.outputs.add(name="A")
    given.outputs.add(name="C").parameters["mine"].bool_param = True
    request, classes = decode_request(given, [b"\x01\x02"])
    assert request.outputs == ("B", "A", "C")
    assert {name: count for name, count in classes.items() if count} == {"B": 3}


def test_a_tensor_may_have_64_dimensions():
    given = message()
    given.inputs[0].shape[:] = [1] * 63 + [2]
    request, _ = decode_request(given, [b"\x01\x02"])
    assert request.inputs["I"].shape == (1,) * 63 + (2,)
    given.inputs[0].shape.append(1)
    with pytest.raises(InvalidArgumentError, match="more than 64 dimensions"):
        decode_request(given, [b"\x01\x02"])
