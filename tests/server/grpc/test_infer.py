"""ModelInfer, request by request: what a client sends and what it gets. Texts were compared with a real Triton's."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import grpc
import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as pb

from tcli_server.protocols.grpc.errors import details
from tcli_server.protocols.grpc.infer_response import takes_long
from tcli_server.request import InferenceResponse

ONES = np.ones(16, np.float32).tobytes()
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def add_sub(raw: bool = True, **fields: str) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(**{"model_name": "add_sub", **fields})
    for name in ("INPUT0", "INPUT1"):
        tensor = request.inputs.add(name=name, datatype="FP32", shape=[1, 16])
        if raw:
            request.raw_input_contents.append(ONES)
        else:
            tensor.contents.fp32_contents.extend([1.0] * 16)
    return request


def strings(shape: list[int], *, raw: bytes | None = None, typed: tuple[bytes, ...] = ()) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="identity_bytes")
    tensor = request.inputs.add(name="INPUT0", datatype="BYTES", shape=shape)
    tensor.contents.bytes_contents.extend(typed)
    if raw is not None:
        tensor.ClearField("contents")
        request.raw_input_contents.append(raw)
    return request


def refused(stub, request: pb.ModelInferRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refusal:
        stub.ModelInfer(request, timeout=60)
    return refusal.value.code(), refusal.value.details()


def test_answer_has_raw_outputs_in_the_model_s_order_and_the_request_s_id(stub):
    answer = stub.ModelInfer(add_sub(id="seven"), timeout=60)
    assert (answer.model_name, answer.model_version, answer.id) == ("add_sub", "1", "seven")
    assert [(o.name, o.datatype, list(o.shape)) for o in answer.outputs] == [
        ("OUTPUT0", "FP32", [1, 16]),
        ("OUTPUT1", "FP32", [1, 16]),
    ]
    assert not any(output.HasField("contents") for output in answer.outputs)
    sums, differences = (np.frombuffer(raw, np.float32) for raw in answer.raw_output_contents)
    assert np.array_equal(sums, np.full(16, 2.0))
    assert np.array_equal(differences, np.zeros(16))


def test_typed_contents_are_answered_with_raw_outputs(stub):
    answer = stub.ModelInfer(add_sub(raw=False), timeout=60)
    assert np.array_equal(np.frombuffer(answer.raw_output_contents[0], np.float32), np.full(16, 2.0))


def test_only_requested_outputs_are_sent(stub):
    request = add_sub()
    request.outputs.add(name="OUTPUT1")
    answer = stub.ModelInfer(request, timeout=60)
    assert [output.name for output in answer.outputs] == ["OUTPUT1"]
    assert len(answer.raw_output_contents) == 1


def test_additional_raw_contents_are_ignored_as_in_triton(stub):
    request = add_sub()
    request.raw_input_contents.append(b"more")
    assert len(stub.ModelInfer(request, timeout=60).outputs) == 2


def test_classification_gives_value_index_and_label(stub):
    request = add_sub()
    request.raw_input_contents[0] = np.arange(16, dtype=np.float32).tobytes()
    request.outputs.add(name="OUTPUT0").parameters["classification"].int64_param = 2
    answer = stub.ModelInfer(request, timeout=60)
    assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == ("BYTES", [1, 2])
    # 15 has no label: the label file ends before it.
    assert answer.raw_output_contents[0] == b"\x0c\0\0\x0016.000000:15\x15\0\0\x0015.000000:14:class 14"


EVERY_TYPE = {
    "BOOL": np.array([[True, False, True]]),
    "UINT8": np.array([[0, 1, 255]], np.uint8),
    "UINT16": np.array([[0, 1, 65535]], np.uint16),
    "UINT32": np.array([[0, 1, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 1, 2**64 - 1]], np.uint64),
    "INT8": np.array([[-128, 0, 127]], np.int8),
    "INT16": np.array([[-(2**15), 0, 2**15 - 1]], np.int16),
    "INT32": np.array([[-(2**31), 0, 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 0, 2**63 - 1]], np.int64),
    "FP16": np.array([[0.5, -1, 65504]], np.float16),
    "FP32": np.array([[0.5, np.nan, np.inf]], np.float32),
    "FP64": np.array([[0.5, -1e300, 5e-324]], np.float64),
    "BF16": np.array([[0.5, -1, 3e38]], ml_dtypes.bfloat16),
}


@pytest.mark.parametrize("datatype", EVERY_TYPE)
def test_raw_tensors_come_back_bit_for_bit(stub, datatype: str):
    array = EVERY_TYPE[datatype]
    request = pb.ModelInferRequest(model_name=f"identity_{datatype.lower()}", raw_input_contents=[array.tobytes()])
    request.inputs.add(name="INPUT0", datatype=datatype, shape=array.shape)
    answer = stub.ModelInfer(request, timeout=60)
    assert (answer.outputs[0].datatype, list(answer.outputs[0].shape)) == (datatype, [1, 3])
    assert answer.raw_output_contents[0] == array.tobytes()


TYPED_FIELD = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents",
}  # fmt: skip


@pytest.mark.parametrize("datatype", TYPED_FIELD)
def test_each_type_has_its_typed_field(stub, datatype: str):
    array = EVERY_TYPE[datatype]
    request = pb.ModelInferRequest(model_name=f"identity_{datatype.lower()}")
    tensor = request.inputs.add(name="INPUT0", datatype=datatype, shape=array.shape)
    getattr(tensor.contents, TYPED_FIELD[datatype]).extend(array.ravel().tolist())
    assert stub.ModelInfer(request, timeout=60).raw_output_contents[0] == array.tobytes()


@pytest.mark.parametrize("request_of", [
    lambda: strings([1, 2], typed=(b"a", b"bcd")),
    lambda: strings([1, 2], raw=b"\x01\0\0\0a\x03\0\0\0bcd"),
], ids=["typed", "raw"])  # fmt: skip
def test_strings(stub, request_of: Callable[[], pb.ModelInferRequest]):
    answer = stub.ModelInfer(request_of(), timeout=60)
    assert answer.raw_output_contents[0] == b"\x01\0\0\0a\x03\0\0\0bcd"


def test_a_tensor_without_elements_is_answered_with_one(stub):
    request = pb.ModelInferRequest(model_name="identity_fp32", raw_input_contents=[b""])
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 0])
    answer = stub.ModelInfer(request, timeout=60)
    assert list(answer.outputs[0].shape) == [1, 0]
    assert list(answer.raw_output_contents) == [b""]


def test_large_tensors_of_each_form(stub):
    array = np.arange(300_000, dtype=np.float32).reshape(1, -1)
    raw = pb.ModelInferRequest(model_name="identity_fp32", id="large", raw_input_contents=[array.tobytes()])
    raw.inputs.add(name="INPUT0", datatype="FP32", shape=array.shape)
    typed = pb.ModelInferRequest(model_name="identity_fp32")
    typed.inputs.add(name="INPUT0", datatype="FP32", shape=array.shape).contents.fp32_contents.extend(array.ravel())
    for request in (raw, typed):
        answer = stub.ModelInfer(request, timeout=60)
        assert answer.raw_output_contents[0] == array.tobytes()
    words = [b"word %d" % index for index in range(20_000)]
    answer = stub.ModelInfer(strings([1, len(words)], typed=tuple(words)), timeout=60)
    assert answer.raw_output_contents[0].endswith(b"\x0a\0\0\0word 19999")
    again = stub.ModelInfer(strings([1, len(words)], raw=answer.raw_output_contents[0]), timeout=60)
    assert again.raw_output_contents[0] == answer.raw_output_contents[0]


def test_messages_above_grpc_s_own_limit_of_4_mib_pass(stub):
    array = np.zeros((1, 2_000_000), np.float32)
    request = pb.ModelInferRequest(model_name="identity_fp32", raw_input_contents=[array.tobytes()])
    request.inputs.add(name="INPUT0", datatype="FP32", shape=array.shape)
    assert len(stub.ModelInfer(request, timeout=60).raw_output_contents[0]) == array.nbytes


def test_many_at_once_get_each_its_own_answer(stub):
    def ask(number: int) -> float:
        request = add_sub(id=str(number))
        request.raw_input_contents[0] = np.full(16, number, np.float32).tobytes()
        answer = stub.ModelInfer(request, timeout=60)
        assert answer.id == str(number)
        return float(np.frombuffer(answer.raw_output_contents[0], np.float32)[3])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(200))) == [number + 1 for number in range(200)]


def change(**changes: object) -> Callable[[], pb.ModelInferRequest]:
    def build() -> pb.ModelInferRequest:
        request = add_sub()
        for key, value in changes.items():
            match key:
                case "first":
                    for field, content in value.items():
                        if field == "shape":
                            request.inputs[0].shape[:] = content
                        else:
                            setattr(request.inputs[0], field, content)
                case "typed":
                    getattr(request.inputs[0].contents, value[0]).extend(value[1])
                case "raw":
                    del request.raw_input_contents[:]
                    request.raw_input_contents.extend(value)
                case "outputs":
                    for name in value:
                        request.outputs.add(name=name)
                case "parameter":
                    setattr(request.parameters[value[0]], value[1], value[2])
                case "classification":
                    setattr(request.outputs.add(name="OUTPUT0").parameters["classification"], *value)
                case _:
                    setattr(request, key, value)
        return request

    return build


UNNAMED = "[request id: <id_unknown>] "


@pytest.mark.parametrize(("request_of", "status", "text"), [
    (change(typed=("fp32_contents", [1.0])), INVALID,
     "contents field must not be specified when using raw_input_contents for 'INPUT0' for model 'add_sub'"),
    (change(raw=[ONES]), INVALID, "unable to find data for input tensor 'INPUT1' for model 'add_sub' in request."),
    (change(raw=[]), INVALID, "unable to find data for input tensor 'INPUT0' for model 'add_sub' in request."),
    (change(raw=[], typed=("int_contents", [1])), INVALID,
     "unexpected explicit tensor data for input tensor 'INPUT0' for model 'add_sub' of type 'INT32', expected datatype "
     "'FP32'"),
    (change(raw=[], typed=("fp32_contents", [1.0] * 17)), INVALID,
     UNNAMED + "input byte size mismatch for input 'INPUT0' for model 'add_sub'. Expected 64, got 68"),
    (change(raw=[ONES[:60], ONES]), INVALID,
     UNNAMED + "input byte size mismatch for input 'INPUT0' for model 'add_sub'. Expected 64, got 60"),
    (change(raw=[ONES[:60], ONES], id="mine"), INVALID,
     "[request id: mine] input byte size mismatch for input 'INPUT0' for model 'add_sub'. Expected 64, got 60"),
    (change(first={"datatype": "INT32"}), INVALID,
     UNNAMED + "inference input 'INPUT0' data-type is 'INT32', but model 'add_sub' expects 'FP32'"),
    (change(first={"shape": [1, -1]}), INVALID,
     UNNAMED + "All input dimensions should be specified for input 'INPUT0' for model 'add_sub', got [1,-1]"),
    (change(first={"name": "INPUT1"}), INVALID, UNNAMED + "input 'INPUT1' already exists in request"),
    (change(outputs=["OUTPUT0", "OUTPUT0"]), INVALID, UNNAMED + "output 'OUTPUT0' already exists in request"),
    (change(outputs=["NONE"]), INVALID, UNNAMED + "unexpected inference output 'NONE' for model 'add_sub'"),
    (change(classification=("int64_param", -1)), INVALID, "invalid value for 'classification' parameter, expected > 0"),
    (change(classification=("string_param", "1")), INVALID,
     "invalid value type for 'classification' parameter, expected int64_param"),
    (change(parameter=("sequence_id", "bool_param", True)), INVALID,
     "invalid value type for 'sequence_id' parameter, expected int64_param or string_param."),
    (change(parameter=("sequence_start", "int64_param", 1)), INVALID,
     "invalid value type for 'sequence_start' parameter, expected bool_param."),
    (change(parameter=("priority", "int64_param", -1)), INVALID, "invalid value for 'priority', expected value >= 0."),
    (change(parameter=("timeout", "string_param", "1")), INVALID,
     "invalid value type for 'timeout' parameter, expected int64_param."),
    (change(parameter=("triton_mine", "bool_param", True)), INVALID,
     "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with "
     "'triton_' are allowed: triton_enable_empty_final_response"),
    (change(model_version="9"), grpc.StatusCode.NOT_FOUND,
     "Request for unknown model: 'add_sub' version 9 is not found"),
    (change(model_name="nope"), grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'nope' is not found"),
], ids=lambda value: "" if callable(value) else None)  # fmt: skip
def test_refusals_in_triton_s_words(stub, request_of, status: grpc.StatusCode, text: str):
    assert refused(stub, request_of()) == (status, text)


@pytest.mark.parametrize(("request_of", "status", "text"), [
    (change(model_version="x"), INVALID, "specified version string 'x'"),
    (change(first={"datatype": "FOO"}), INVALID, "'FOO'"),
    (change(first={"shape": [1, 4, 4]}), INVALID, r"Expected \[-1,16\], got \[1,4,4\]"),
    (lambda: strings([1, 2], typed=(b"a",)), INVALID, "expected 2 string elements"),
    (lambda: strings([1, 2], typed=(b"a", b"b", b"c")), INVALID, "unexpected number of string elements 3 .* expecting 2"),
    (lambda: strings([1, 2], raw=b"\x01\0\0\0a\x03\0"), INVALID, "incomplete string length indicator"),
    (lambda: strings([1, 2], raw=b"\x01\0\0\0a\x03\0\0\0b"), INVALID, "expecting string of length 3 but only 1 bytes"),
    (lambda: pb.ModelInferRequest(
        model_name="identity_fp16",
        inputs=[pb.ModelInferRequest.InferInputTensor(
            name="INPUT0", datatype="FP16", shape=[1, 1],
            contents=pb.InferTensorContents(fp32_contents=[1.0]))],
    ), INVALID, "unexpected explicit tensor data"),
], ids=["version", "datatype", "shape", "too few", "too many", "length", "truncated", "fp16"])  # fmt: skip
def test_other_refusals(stub, request_of, status: grpc.StatusCode, text: str):
    found, message = refused(stub, request_of())
    assert found == status
    assert re.search(text, message)


@pytest.mark.parametrize("value", [("int64_param", 5), ("string_param", "five")])
def test_parameters_that_any_model_accepts(stub, value: tuple[str, object]):
    request = add_sub()
    setattr(request.parameters["sequence_id"], *value)
    request.parameters["priority"].uint64_param = 1
    request.parameters["timeout"].int64_param = 1_000_000
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    request.parameters["mine"].double_param = 0.5
    assert stub.ModelInfer(request, timeout=60).outputs


@pytest.mark.parametrize("size", [3, 100_000])
def test_what_is_no_message_is_refused(channel: grpc.Channel, size: int):
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    with pytest.raises(grpc.RpcError) as refusal:
        call(b"\xff" * size, timeout=60)
    assert refusal.value.code() == grpc.StatusCode.INTERNAL
    assert "Unable to parse request" in refusal.value.details()


def test_a_client_that_gives_up_does_no_harm(stub):
    request = pb.ModelInferRequest(model_name="slow", raw_input_contents=[np.ones(4, np.float32).tobytes()])
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 4])
    with pytest.raises(grpc.RpcError) as gave_up:
        stub.ModelInfer(request, timeout=0.001)
    assert gave_up.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert np.frombuffer(stub.ModelInfer(request, timeout=60).raw_output_contents[0], np.float32).shape == (4,)


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compressed_requests(grpc_url: str, compression: str):
    with triton.InferenceServerClient(grpc_url) as client:
        inputs = [triton.InferInput(name, [2, 16], "FP32") for name in ("INPUT0", "INPUT1")]
        for tensor in inputs:
            tensor.set_data_from_numpy(np.ones((2, 16), np.float32))
        answer = client.infer("add_sub", inputs, compression_algorithm=compression)
        assert np.array_equal(answer.as_numpy("OUTPUT0"), np.full((2, 16), 2.0))


# --- ModelStreamInfer ---


def test_a_stream_is_answered_in_order_with_errors_in_band(stub):
    wrong = add_sub(id="wrong")
    wrong.raw_input_contents[0] = b""
    requests = [add_sub(id="first"), add_sub(model_name="nope", id="nowhere"), wrong, add_sub(id="last")]
    answers = list(stub.ModelStreamInfer(iter(requests), timeout=60))
    assert [answer.infer_response.id for answer in answers] == ["first", "nowhere", "wrong", "last"]
    assert [bool(answer.error_message) for answer in answers] == [False, True, True, False]
    assert answers[1].error_message == "Request for unknown model: 'nope' is not found"
    assert answers[0].infer_response.parameters["triton_final_response"].bool_param is True
    assert not answers[1].infer_response.outputs


def test_a_stream_may_ask_for_errors_as_status(stub):
    wrong = add_sub(model_name="nope")
    answers = stub.ModelStreamInfer(
        iter([add_sub(), wrong, add_sub()]), timeout=60, metadata=[("triton_grpc_error", "true")]
    )
    assert next(answers).infer_response.outputs
    with pytest.raises(grpc.RpcError) as refusal:
        next(answers)
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND


def test_triton_s_own_client_streams(grpc_url: str):
    results: list = []
    with triton.InferenceServerClient(grpc_url) as client:
        client.start_stream(lambda result, error: results.append((result, error)))
        tensor = triton.InferInput("INPUT0", [1, 3], "FP32")
        for number in range(5):
            tensor.set_data_from_numpy(np.full((1, 3), number, np.float32))
            client.async_stream_infer("identity_fp32", [tensor], request_id=str(number))
        client.stop_stream()
    assert [error for _, error in results] == [None] * 5
    assert [float(result.as_numpy("OUTPUT0")[0, 0]) for result, _ in results] == [0, 1, 2, 3, 4]


# --- what an error says ---

HOSTILE = [
    "\x00\x07\x1b[2J\r\n",
    "%" * 100_000,
    "\u6f22\u5b57" * 50_000,
    "\U0001f600" * 20_000,
    "a" * 1_000_000,
    "\u2028\x7f\x85",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_can_be_told(stub, name: str):
    """The client gets status and text, whatever is in the request; a client refuses headers above 8 KiB."""
    for request in (add_sub(model_name=name), add_sub(model_version=name), add_sub(id=name), change(outputs=[name])()):
        if request.id:
            request.outputs.add(name="NONE")
        status, text = refused(stub, request)
        assert status in (grpc.StatusCode.NOT_FOUND, INVALID)
        assert text
        assert not set(text) & set("\x00\x07\x1b\x7f\x85\u2028")
        (answer,) = stub.ModelStreamInfer(iter([request]), timeout=60)
        assert answer.error_message
        assert answer.infer_response.id == request.id


def test_the_text_of_a_status_is_short_enough_for_any_client():
    for text in ("%" * 9_000, "\ud800" * 9_000, "\u6f22" * 9_000, "plain " * 9_000, "\n\t" * 9_000):
        told = details(text)
        assert len(quote(told, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~\"\\")) < 7_000
        assert "..." in told
    assert details("line one\n\tline two") == "line one\n\tline two"
    assert details("lone \ud800") == "lone \\ud800"
    assert details("é" * 1000) == "é" * 1000
    assert details("é" * 1001) == "é" * 1000 + "..."


def test_an_event_loop_is_told_what_takes_long_to_write():
    def answer(array: np.ndarray) -> InferenceResponse:
        return InferenceResponse("m", "1", outputs={"y": array})

    assert not takes_long(answer(np.zeros(1000, np.float32)), {"y": 3})
    assert takes_long(answer(np.zeros(100_000, np.float32)), {"y": 3})
    assert not takes_long(answer(np.zeros(100_000, np.float32)), {})
    assert not takes_long(answer(np.zeros(1_000_000, np.float32)), {})  # its memory is sent as it is
    assert takes_long(answer(np.zeros((1000, 1000), np.float32).T), {})
    assert not takes_long(answer(np.array([b"x" * 1000], np.object_)), {})
    assert takes_long(answer(np.array([b"x" * 2_000_000], np.object_)), {})
    assert takes_long(answer(np.full(100_000, b"", np.object_)), {})
