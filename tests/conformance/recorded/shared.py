"""What is done with shared memory regions, over HTTP and gRPC: an exchange is some steps in a server without regions.

    Register, Unregister, Status     a region; those of CUDA memory, too
    Ask                              the model `identity`, of four INT32 that lie there, or whose answer goes there

Two objects are there, each of two pages of memory; a page begins with the numbers from 0 to 15.
"""

import json
import os
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np
import tritonclient.utils.shared_memory as shm
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2 as pb

from conformance.recorded.wire import Json, Server, error_of, failure

KEY = f"/tcli-recorded-{os.getpid()}"
OTHER = f"{KEY}-other"
PAGE = 4096
SIZE = 2 * PAGE
SHOWN = 16
"""Numbers of a page that are told."""

HANDLE = bytes(64)

Parameters = Mapping[str, Any]


class Step(Protocol):
    def http(self, server: Server) -> Json: ...

    def grpc(self, server: Server) -> Json: ...


@dataclass(frozen=True)
class Register:
    """`body` as JSON, which is nearly the message of gRPC."""

    body: Parameters = field(default_factory=lambda: {"key": KEY, "offset": 0, "byte_size": SIZE})
    region: str = "r"

    def http(self, server: Server) -> Json:
        return _posted(server, f"systemsharedmemory{_region(self.region)}/register", self.body)

    def grpc(self, server: Server) -> Json:
        request = pb.SystemSharedMemoryRegisterRequest(name=self.region, **self.body)
        return _called(server, "SystemSharedMemoryRegister", request)


@dataclass(frozen=True)
class Unregister:
    region: str = "r"
    kind: str = "System"

    def http(self, server: Server) -> Json:
        return _posted(server, f"{self.kind.lower()}sharedmemory{_region(self.region)}/unregister", {})

    def grpc(self, server: Server) -> Json:
        request = getattr(pb, f"{self.kind}SharedMemoryUnregisterRequest")(name=self.region)
        return _called(server, f"{self.kind}SharedMemoryUnregister", request)


@dataclass(frozen=True)
class Status:
    region: str = ""
    kind: str = "System"

    def http(self, server: Server) -> Json:
        answer = server.http.get(f"/v2/{self.kind.lower()}sharedmemory{_region(self.region)}/status")
        told = {"status": answer.status_code}
        if answer.status_code != 200:
            return {**told, "error": error_of(answer.json())}
        return {**told, "regions": sorted(answer.json(), key=lambda region: str(region["name"]))}

    def grpc(self, server: Server) -> Json:
        request = getattr(pb, f"{self.kind}SharedMemoryStatusRequest")(name=self.region)
        return _called(server, f"{self.kind}SharedMemoryStatus", request)


@dataclass(frozen=True)
class RegisterCuda:
    """With a handle of nothing."""

    region: str = "r"

    def http(self, server: Server) -> Json:
        body = {"raw_handle": {"b64": b64encode(HANDLE).decode()}, "device_id": 0, "byte_size": 1}
        return _posted(server, f"cudasharedmemory{_region(self.region)}/register", body)

    def grpc(self, server: Server) -> Json:
        request = pb.CudaSharedMemoryRegisterRequest(name=self.region, raw_handle=HANDLE, byte_size=1)
        return _called(server, "CudaSharedMemoryRegister", request)


@dataclass(frozen=True)
class Ask:
    """What is shared of a request, in the parameters of its input and its output; and what the first object holds afterwards."""

    input: Parameters | None = None
    output: Parameters | None = None
    data: Sequence[int] | None = None

    def http(self, server: Server) -> Json:
        tensor: dict[str, Any] = {"name": "INT32", "datatype": "INT32", "shape": [4]}
        if self.input is not None:
            tensor["parameters"] = self.input
        if self.data is not None:
            tensor["data"] = self.data
        output = {"name": "INT32_OUT", **({} if self.output is None else {"parameters": self.output})}
        answer = server.http.post("/v2/models/identity/infer", json={"inputs": [tensor], "outputs": [output]})
        if answer.status_code != 200:
            return {"status": answer.status_code, "error": error_of(answer.json())}
        return {"status": 200, "outputs": answer.json()["outputs"], "holds": _held()}

    def grpc(self, server: Server) -> Json:
        request = pb.ModelInferRequest(model_name="identity")
        tensor = request.inputs.add(name="INT32", datatype="INT32", shape=[4])
        if self.data is not None:
            tensor.contents.int_contents.extend(self.data)
        output = request.outputs.add(name="INT32_OUT")
        for place, parameters in ((tensor, self.input), (output, self.output)):
            for key, value in (parameters or {}).items():
                setattr(place.parameters[key], _FIELDS[type(value)], value)
        try:
            answer = server.stub.ModelInfer(request, timeout=server.patience)
        except grpc.RpcError as error:
            return failure(error)
        told = MessageToDict(answer, preserving_proto_field_name=True)
        raw = [np.frombuffer(each, np.int32).tolist() for each in answer.raw_output_contents]
        return {"code": "OK", "outputs": told["outputs"], "raw": raw, "holds": _held()}


_FIELDS = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}


@dataclass(frozen=True)
class Shared:
    """Steps in their order, over one protocol and then over the other."""

    name: str
    steps: tuple[Step, ...]
    says: tuple[str, ...] = ()

    def held(self, server: Server) -> Json:
        told = {}
        for protocol in ("http", "grpc"):
            with _objects():
                try:
                    told[protocol] = [_without_pid(getattr(step, protocol)(server)) for step in self.steps]
                finally:
                    Unregister("").http(server)
        return told


@contextmanager
def _objects() -> Iterator[None]:
    with ExitStack() as stack:
        for key in (KEY, OTHER):
            handle = shm.create_shared_memory_region(key, key, SIZE)
            stack.callback(shm.destroy_shared_memory_region, handle)
            shm.set_shared_memory_region(handle, [np.tile(np.arange(SIZE // 8, dtype=np.int32), 2)])
        yield


def _without_pid(told: Json) -> Json:
    return json.loads(json.dumps(told).replace(f"-{os.getpid()}", ""))


def _held() -> Json:
    content = Path(f"/dev/shm{KEY}").read_bytes()
    return np.frombuffer(content, np.int32).reshape(2, -1)[:, :SHOWN].tolist()


def _region(name: str) -> str:
    return f"/region/{name}" if name else ""


def _posted(server: Server, path: str, body: Parameters) -> Json:
    answer = server.http.post(f"/v2/{path}", content=json.dumps(body))
    told = {"status": answer.status_code}
    return told if answer.status_code == 200 else {**told, "error": error_of(answer.json())}


def _called(server: Server, rpc: str, request: Any) -> Json:
    try:
        answer = getattr(server.stub, rpc)(request, timeout=server.patience)
    except grpc.RpcError as error:
        return failure(error)
    return {"code": "OK", **MessageToDict(answer, preserving_proto_field_name=True)}
