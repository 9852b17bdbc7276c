"""Runs one of the small cases below, and answers with what it gave or raised, as JSON."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils

ONES = np.ones((2, 2), np.float32)


def tensor(array, name="T"):
    return pb_utils.Tensor(name, array)


def told(made):
    return [made.name(), list(made.shape()), str(made.as_numpy().dtype), made.is_cpu(), made.as_numpy().tolist()]


def request(**named):
    given = {"inputs": [tensor(ONES)], "requested_output_names": ["Y"], "model_name": "m", **named}
    return pb_utils.InferenceRequest(**given)


def of_request(**named):
    made = request(**named)
    return [made.request_id(), made.correlation_id(), sorted(made.requested_output_names()), made.flags(), made.timeout(),
            json.loads(made.parameters())]  # fmt: skip


def of_response(*args, **named):
    made = pb_utils.InferenceResponse(*args, **named)
    error = made.error()
    return [[each.name() for each in made.output_tensors()], made.has_error(), error and [error.message(), str(error.code())],
            json.loads(made.parameters() or "{}") if hasattr(made, "parameters") else {}]  # fmt: skip


def flagged():
    made = request()
    made.set_flags(pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START | pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END)
    return made.flags()


def dlpack(array):
    made = tensor(array)
    return [told(pb_utils.Tensor.from_dlpack("D", made.to_dlpack())), list(map(int, made.__dlpack_device__()))]


def from_numpy(array):
    return told(pb_utils.Tensor.from_dlpack("D", array))


def metric(kind, name, call="value", *args, labels=None, **named):
    family = pb_utils.MetricFamily(name=name, description="A test", kind=kind)
    made = family.Metric(labels=labels, **named)
    return [getattr(made, call)(*args), made.value()]


def same_family(second):
    kept = pb_utils.MetricFamily("probe_same", "first", pb_utils.MetricFamily.COUNTER)
    first = kept.Metric(labels={"a": "b"})
    first.increment(2)
    again = pb_utils.MetricFamily("probe_same", "second", second)
    return [again.Metric(labels={"a": "b"}).value(), again.Metric(labels={"a": "c"}).value()]


def family_gone():
    family = pb_utils.MetricFamily("probe_gone", "d", pb_utils.MetricFamily.GAUGE)
    made = family.Metric()
    del family
    made.increment(1)
    return made.value()


def logged(level):
    getattr(pb_utils.Logger, level)(f"probe writes {level}")


def round_trip():
    values = np.array([["a", b"b"], ["", "\u00fc"]], np.object_)
    written = pb_utils.serialize_byte_tensor(values)
    return [list(written), [each.decode() for each in pb_utils.deserialize_bytes_tensor(written).tolist()]]


def names(numpy_type):
    code = pb_utils.numpy_to_triton_type(numpy_type)
    return code if code is None else int(code)


CASES = {
    "tensor": lambda: told(tensor(ONES)),
    "tensor of each type": lambda: [told(tensor(np.ones(1, kind)))[2] for kind in "?BHILbhilefd"],
    "type code of a tensor": lambda: int(tensor(ONES).triton_dtype()),
    "tensor of one value": lambda: told(tensor(np.float32(3)))[:3],
    "tensor of rank 0": lambda: told(tensor(np.array(3, np.int64))),
    "tensor of strings": lambda: [str(each) for each in tensor(np.array(["a", b"b", 3], np.object_)).as_numpy()],
    "tensor of fixed bytes": lambda: [str(each) for each in tensor(np.array([b"a", b"bcd"])).as_numpy()],
    "tensor without elements": lambda: told(tensor(np.zeros((0, 3), np.int8))),
    "tensor without strings": lambda: told(tensor(np.zeros((0,), np.object_))),
    "tensor not contiguous": lambda: told(tensor(np.arange(6, dtype=np.int32).reshape(2, 3).T)),
    "tensor of big endian": lambda: told(tensor(np.arange(3, dtype=">i4"))),
    "tensor with an empty name": lambda: told(tensor(ONES, "")),
    "tensor without a name": lambda: told(tensor(ONES, None)),
    "tensor of None": lambda: told(tensor(None)),
    "tensor of a list": lambda: told(tensor([1, 2])),
    "tensor of complex": lambda: told(tensor(np.ones(1, np.complex64))),
    "tensor of dates": lambda: told(tensor(np.array(["2020-01-01"], "datetime64[D]"))),
    "tensor of unicode": lambda: told(tensor(np.array(["a"]))),
    "tensor by keyword": lambda: told(pb_utils.Tensor(name="K", numpy_array=ONES)),
    "dlpack": lambda: dlpack(ONES),
    "dlpack of int8": lambda: dlpack(np.arange(4, dtype=np.int8)),
    "dlpack of nothing": lambda: dlpack(np.zeros((2, 0), np.float64)),
    "dlpack of strings": lambda: dlpack(np.array(["a"], np.object_)),
    "dlpack to numpy": lambda: np.from_dlpack(tensor(ONES)).tolist(),
    "from_dlpack not contiguous": lambda: from_numpy(np.arange(6.0).reshape(2, 3).T),
    "from_dlpack of a list": lambda: from_numpy([1]),
    "from_dlpack with an empty name": lambda: told(pb_utils.Tensor.from_dlpack("", tensor(ONES).to_dlpack())),
    "request": lambda: of_request(),
    "request with all": lambda: of_request(
        request_id="r", correlation_id=5, model_version=2, flags=3, timeout=9, parameters={"a": 1, "b": True, "c": "d"}
    ),
    "request with text id": lambda: of_request(correlation_id="abc"),
    "request positional": lambda: pb_utils.InferenceRequest("r", 7, [tensor(ONES)], ["Y"], "m").request_id(),
    "request without inputs": lambda: pb_utils.InferenceRequest(requested_output_names=["Y"], model_name="m"),
    "request without model": lambda: pb_utils.InferenceRequest(requested_output_names=["Y"], inputs=[]),
    "request with None input": lambda: of_request(inputs=[None]),
    "request with inputs None": lambda: of_request(inputs=None),
    "request with empty output name": lambda: of_request(requested_output_names=[""]),
    "request with model None": lambda: of_request(model_name=None),
    "request with id None": lambda: of_request(request_id=None),
    "request with float id": lambda: of_request(correlation_id=1.5),
    "request with float parameter": lambda: of_request(parameters={"a": 1.5}),
    "request with list parameter": lambda: of_request(parameters={"a": [1]}),
    "request with numbered parameter": lambda: of_request(parameters={1: "a"}),
    "request with parameters of a list": lambda: of_request(parameters=[1]),
    "request with negative timeout": lambda: of_request(timeout=-1),
    "request flags": flagged,
    "request sender": lambda: request().get_response_sender(),
    "request memory": lambda: of_request(preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU)),
    "request trace": lambda: request().trace().get_context(),
    "response": lambda: of_response([tensor(ONES)]),
    "response by keyword": lambda: of_response(output_tensors=[tensor(ONES, "A"), tensor(ONES, "B")]),
    "response of nothing": lambda: of_response(),
    "response of error": lambda: of_response(error=pb_utils.TritonError("no")),
    "response of error and code": lambda: of_response(
        output_tensors=[], error=pb_utils.TritonError("no", pb_utils.TritonError.UNSUPPORTED)
    ),
    "response of None": lambda: of_response(None),
    "response of a None": lambda: of_response([None]),
    "response with text error": lambda: of_response([], "text"),
    "response with parameters": lambda: of_response([], parameters={"a": 1, "b": False, "c": "d"}),
    "response with float parameter": lambda: of_response([], parameters={"a": 1.5}),
    "response output by name": lambda: [
        (found := pb_utils.get_output_tensor_by_name(pb_utils.InferenceResponse([tensor(ONES, "A")]), name))
        and found.as_numpy().tolist()
        for name in ("A", "B")
    ],
    "error codes": lambda: [
        str(getattr(pb_utils.TritonError, name)).rsplit(".")[-1]
        for name in ("UNKNOWN", "INTERNAL", "NOT_FOUND", "INVALID_ARG", "UNAVAILABLE", "UNSUPPORTED", "ALREADY_EXISTS",
                     "CANCELLED")
    ],
    "error": lambda: [pb_utils.TritonError("m").message(), pb_utils.TritonError(message="n").message()],
    "error of None": lambda: pb_utils.TritonError(None).message(),
    "model exception": lambda: issubclass(pb_utils.TritonModelException, Exception),
    "log": lambda: [pb_utils.Logger.log("probe"), pb_utils.Logger.log("probe", pb_utils.Logger.WARNING)],
    "log levels": lambda: [logged(f"log_{level}") for level in ("info", "warn", "error", "verbose")],
    "log of a number": lambda: pb_utils.Logger.log_info(3),
    "log of a wrong level": lambda: pb_utils.Logger.log("probe", 3),
    "counter": lambda: metric(pb_utils.MetricFamily.COUNTER, "probe_counter", "increment", 2.5, labels={"a": "b"}),
    "counter by keywords": lambda: pb_utils.MetricFamily(name="probe_kw", description="d", kind=pb_utils.MetricFamily.COUNTER).Metric(labels={}).value(),
    "counter down": lambda: metric(pb_utils.MetricFamily.COUNTER, "probe_counter_down", "increment", -1),
    "counter set": lambda: metric(pb_utils.MetricFamily.COUNTER, "probe_counter_set", "set", 1),
    "counter observes": lambda: metric(pb_utils.MetricFamily.COUNTER, "probe_counter_observes", "observe", 1),
    "counter with buckets": lambda: metric(pb_utils.MetricFamily.COUNTER, "probe_counter_buckets", buckets=[1.0]),
    "gauge": lambda: metric(pb_utils.MetricFamily.GAUGE, "probe_gauge", "increment", -2.5),
    "gauge set": lambda: metric(pb_utils.MetricFamily.GAUGE, "probe_gauge_set", "set", 4),
    "gauge with text": lambda: metric(pb_utils.MetricFamily.GAUGE, "probe_gauge_text", "set", "4"),
    "metric with wrong labels": lambda: metric(pb_utils.MetricFamily.GAUGE, "probe_labels", labels={"a": 1}),
    "family without a kind": lambda: pb_utils.MetricFamily("probe_none", "d", None),
    "family with a wrong kind": lambda: pb_utils.MetricFamily("probe_kind", "d", 1),
    "family twice": lambda: same_family(pb_utils.MetricFamily.COUNTER),
    "family twice, other kind": lambda: same_family(pb_utils.MetricFamily.GAUGE),
    "family gone": family_gone,
    "strings to bytes and back": round_trip,
    "numbers to bytes": lambda: pb_utils.serialize_byte_tensor(ONES),
    "no strings to bytes": lambda: list(pb_utils.serialize_byte_tensor(np.zeros(0, np.object_))),
    "type names": lambda: {name: np.dtype(pb_utils.triton_string_to_numpy(f"TYPE_{name}")).name for name in (
        "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "STRING"
    )},
    "type name of nobody": lambda: pb_utils.triton_string_to_numpy("TYPE_NOBODY"),
    "type codes": lambda: [names(kind) for kind in (
        np.bool_, np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64, np.float16, np.float32,
        np.float64, np.object_, np.bytes_, np.complex64
    )],
    "codes to types": lambda: [np.dtype(pb_utils.triton_to_numpy_type(code)).name for code in range(1, 14)],
    "constants": lambda: [
        pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START, pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END,
        pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL, pb_utils.TRITONSERVER_REQUEST_RELEASE_ALL,
        pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE,
    ],
    "ready": lambda: [pb_utils.is_model_ready("add_sub"), pb_utils.is_model_ready("add_sub", "1")],
    "ready of a wrong version": lambda: pb_utils.is_model_ready("add_sub", "one"),
    "ready of another version": lambda: pb_utils.is_model_ready("add_sub", "7"),
    "ready of nobody": lambda: pb_utils.is_model_ready("nobody"),
    "load": lambda: [pb_utils.load_model(model_name="spare"), pb_utils.is_model_ready("spare")],
    "load with files of a list": lambda: pb_utils.load_model(model_name="spare", config="{}", files=[1]),
    "load of nobody": lambda: pb_utils.load_model(model_name="nobody"),
    "unload": lambda: pb_utils.unload_model("spare"),
    "unload of nobody": lambda: pb_utils.unload_model(model_name="nobody"),
}  # fmt: skip


class TritonPythonModel:
    def execute(self, requests):
        return [
            self.answer(pb_utils.get_input_tensor_by_name(each, "WHAT").as_numpy()[0].decode()) for each in requests
        ]

    @staticmethod
    def answer(case):
        try:
            result = {"gives": CASES[case]()}
            text = json.dumps(result, default=str)
        except Exception as error:
            text = json.dumps({"raises": type(error).__name__, "error": str(error)})
        return pb_utils.InferenceResponse([pb_utils.Tensor("JSON", np.array([text], np.object_))])
