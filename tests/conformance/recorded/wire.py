"""Requests as they are on the wire, and their answers as plain JSON without what differs from run to run."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import ml_dtypes
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor, triton_to_np_dtype

Json = Any
LOAD_PATIENCE = 120
"""Seconds."""


@dataclass(frozen=True)
class Tensor:
    """An input of a request; `values` as JSON would have them, whatever their nesting."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: tuple[Any, ...]

    def array(self) -> np.ndarray:
        if self.datatype == "BYTES":
            encoded = [each.encode() if isinstance(each, str) else each for each in self.values]
            array = np.empty(len(encoded), np.object_)
            array[:] = encoded
            return array.reshape(self.shape)
        return np.array(self.values, _numpy_type(self.datatype)).reshape(self.shape)

    def raw(self) -> bytes:
        if self.datatype != "BYTES":
            return self.array().tobytes()
        written = serialize_byte_tensor(self.array())
        return written.item() if written.size else b""


@dataclass(frozen=True)
class Request:
    """One request for inference; sequence flags, priority and timeout are among the parameters, as on the wire."""

    model: str
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[str, ...] = ()
    id: str = ""
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    version: str = ""


class Server:
    """A running server and clients of its three services.

    Attributes:
        patience: seconds that an answer may take; that it takes longer is written down as the answer.
    """

    def __init__(self, http: str, grpc_url: str, metrics: str, patience: float = 60) -> None:
        self.patience = patience
        self.metrics = f"http://{metrics}/metrics"
        self.http = httpx.Client(base_url=f"http://{http}", timeout=patience)
        self.channel = grpc.insecure_channel(grpc_url)
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    def close(self) -> None:
        self.http.close()
        self.channel.close()

    def infer_http(self, request: Request, binary: bool = False) -> Json:
        body = {
            "inputs": [_http_input(tensor, binary) for tensor in request.inputs],
            **({"outputs": [{"name": name} for name in request.outputs]} if request.outputs else {}),
            **({"id": request.id} if request.id else {}),
            "parameters": {**request.parameters, **({"binary_data_output": True} if binary else {})},
        }
        head = json.dumps(body).encode()
        content, headers = head, {}
        if binary:
            content = head + b"".join(tensor.raw() for tensor in request.inputs)
            headers = {"Inference-Header-Content-Length": str(len(head))}
        path = f"/v2/models/{request.model}{f'/versions/{request.version}' if request.version else ''}/infer"
        return self._posted(path, content, headers)

    def _posted(self, path: str, content: bytes, headers: dict[str, str]) -> Json:
        try:
            answer = self.http.post(path, content=content, headers=headers)
        except httpx.TimeoutException:
            return {"status": "no answer"}
        if answer.status_code != 200:
            return {"status": answer.status_code, "error": error_of(answer.json())}
        length = answer.headers.get("Inference-Header-Content-Length")
        head = answer.content[: int(length)] if length else answer.content
        told = json.loads(head.decode(errors="replace"))
        return {"status": 200, **_http_response(told, answer.content[int(length) :] if length else b"")}

    def infer_grpc(self, request: Request) -> Json:
        try:
            answer = self.stub.ModelInfer(grpc_request(request), timeout=self.patience)
        except grpc.RpcError as error:
            return failure(error)
        return {"code": "OK", **grpc_response(answer)}

    def stream(self, requests: Iterable[Request], empty_final: bool) -> Json:
        """The messages of a stream, in the order that they came."""
        messages = []
        asked = iter([grpc_request(request, empty_final) for request in requests])
        try:
            messages.extend(map(stream_message, self.stub.ModelStreamInfer(asked, timeout=self.patience)))
        except grpc.RpcError as error:
            messages.append(failure(error))
        return messages

    def generate(self, model: str, body: Mapping[str, Any]) -> Json:
        try:
            answer = self.http.post(f"/v2/models/{model}/generate", json=body)
        except httpx.TimeoutException:
            return {"status": "no answer"}
        return {"status": answer.status_code, **_generated(answer.json())}

    def generate_stream(self, model: str, body: Mapping[str, Any]) -> Json:
        try:
            answer = self.http.post(f"/v2/models/{model}/generate_stream", json=body)
        except httpx.TimeoutException:
            return {"status": "no answer"}
        kind = answer.headers.get("Content-Type", "").split(";")[0]
        if kind != "text/event-stream":
            return {"status": answer.status_code, "kind": kind, **_generated(answer.json())}
        events = [event for event in answer.text.split("\n\n") if event]
        return {
            "status": answer.status_code,
            "kind": kind,
            "events": [_generated(json.loads(event.removeprefix("data:"))) for event in events],
        }


def _numpy_type(datatype: str) -> Any:
    return ml_dtypes.bfloat16 if datatype == "BF16" else triton_to_np_dtype(datatype)


def _http_input(tensor: Tensor, binary: bool) -> Json:
    told = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    if binary:
        return {**told, "parameters": {"binary_data_size": len(tensor.raw())}}
    return {**told, "data": list(tensor.values)}


def _http_response(told: dict[str, Any], raw: bytes) -> Json:
    outputs = {}
    for output in told.get("outputs", ()):
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = output["data"]
        else:
            values, raw = decoded(output["datatype"], raw[:size]), raw[size:]
        outputs[output["name"]] = shown(output["name"], output["datatype"], output["shape"], values)
    return _named(told["model_name"], told["model_version"], told.get("id", ""), outputs, told.get("parameters", {}))


def grpc_request(request: Request, empty_final: bool = False) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name=request.model, model_version=request.version, id=request.id)
    for tensor in request.inputs:
        message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        message.raw_input_contents.append(tensor.raw())
    for name in request.outputs:
        message.outputs.add(name=name)
    parameters = {**request.parameters, **({"triton_enable_empty_final_response": True} if empty_final else {})}
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    for name, value in parameters.items():
        setattr(message.parameters[name], kinds[type(value)], value)
    return message


def grpc_response(answer: pb.ModelInferResponse) -> Json:
    outputs = {
        output.name: shown(output.name, output.datatype, list(output.shape), decoded(output.datatype, raw))
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
    parameters = {
        name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in answer.parameters.items()
    }
    return _named(answer.model_name, answer.model_version, answer.id, outputs, parameters)


def stream_message(message: pb.ModelStreamInferResponse) -> Json:
    answer = grpc_response(message.infer_response)
    return {**answer, "error": message.error_message} if message.error_message else answer


def _named(model: str, version: str, request_id: str, outputs: Json, parameters: Json) -> Json:
    told = {"model": f"{model}/{version}", "id": request_id, "outputs": outputs, "parameters": parameters}
    return {key: value for key, value in told.items() if value}


def decoded(datatype: str, raw: bytes) -> list[Any]:
    """The values of a tensor's bytes, in their order."""
    if datatype == "BYTES":
        return list(deserialize_bytes_tensor(raw)) if raw else []
    return np.frombuffer(raw, _numpy_type(datatype)).tolist()


def shown(name: str, datatype: str, shape: list[int], values: Iterable[Any]) -> Json:
    """A tensor as JSON; one that is called JSON holds that, and is shown as what it means."""
    if name == "JSON":
        return [json.loads(value) for value in values]
    return [datatype, shape, [_plain(value) for value in values]]


def _plain(value: Any) -> Json:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _generated(body: Json) -> Json:
    if "error" in body:
        return {"error": body["error"]}
    model = f"{body.pop('model_name')}/{body.pop('model_version')}"
    if isinstance(body.get("JSON"), str):
        body["JSON"] = json.loads(body["JSON"])
    return {"model": model, **body}


def error_of(body: Json) -> Json:
    return body["error"] if isinstance(body, dict) and "error" in body else body


def failure(error: grpc.RpcError) -> Json:
    if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return {"code": "no answer"}
    return {"code": error.code().name, "error": error.details()}
