"""Many requests over gRPC: messages serialized once, answers not parsed."""

import asyncio
from collections.abc import Mapping

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from tcli_analyzer.remote.wire import Parameter, Wire, with_marks
from tcli_analyzer.target import OnReply, SequenceMark
from tcli_client import Address, Credentials
from tcli_client.tensors import datatype_of, to_raw
from tcli_server.errors import ErrorKind, ServerError, UnavailableError, error_of_kind

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)
_COMPRESSION = {
    "none": grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}
_FIELDS = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
_KINDS = {
    grpc.StatusCode.INVALID_ARGUMENT: ErrorKind.INVALID_ARG,
    grpc.StatusCode.NOT_FOUND: ErrorKind.NOT_FOUND,
    grpc.StatusCode.UNAVAILABLE: ErrorKind.UNAVAILABLE,
    grpc.StatusCode.UNIMPLEMENTED: ErrorKind.UNSUPPORTED,
    grpc.StatusCode.INTERNAL: ErrorKind.INTERNAL,
    grpc.StatusCode.ALREADY_EXISTS: ErrorKind.ALREADY_EXISTS,
    grpc.StatusCode.CANCELLED: ErrorKind.CANCELLED,
}


class GrpcSender:
    """As `Sender`. Made in the loop's thread.

    Args:
        timeout: seconds to wait for each answer.
    """

    def __init__(self, address: Address, model: str, version: str, timeout: float, wire: Wire) -> None:
        self._address = address
        self._model = model
        self._version = version
        self._timeout = timeout
        self._parameters = wire.parameters
        self._metadata = tuple((name.lower(), value) for name, value in wire.all_headers().items()) or None
        self._loop = asyncio.get_running_loop()
        self._channel = grpc_channel(address, wire)
        self._infer = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        self._asking: set[asyncio.Task[None]] = set()

    def prepare(self, inputs: Mapping[str, np.ndarray], sequence: SequenceMark | None = None) -> bytes:
        parameters = with_marks(self._parameters, sequence)
        return bytes(infer_request(self._model, self._version, inputs, parameters).SerializeToString())

    def send(self, request: bytes, reply: OnReply) -> None:
        task = self._loop.create_task(self._ask(request, reply))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def close(self) -> None:
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        await self._channel.close()

    async def _ask(self, request: bytes, reply: OnReply) -> None:
        error: ServerError | None = None
        try:
            await self._infer(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as problem:
            error = grpc_error(problem.code(), problem.details() or "", self._address, self._timeout)
        except asyncio.CancelledError:
            reply(UnavailableError("the load was ended before this request was answered"))
            raise
        except Exception as problem:  # grpcio's own: without a reply the load would wait for ever
            error = unsent(problem)
        reply(error)


def grpc_channel(address: Address, wire: Wire) -> grpc.aio.Channel:
    """A channel; nothing is sent yet."""
    compression = _COMPRESSION[wire.compression]
    if address.tls:
        credentials = Credentials.of_environment().channel_credentials()
        return grpc.aio.secure_channel(address.host_and_port, credentials, _OPTIONS, compression)
    return grpc.aio.insecure_channel(address.host_and_port, _OPTIONS, compression)


def infer_request(
    model: str, version: str, inputs: Mapping[str, np.ndarray], parameters: Mapping[str, Parameter]
) -> service_pb2.ModelInferRequest:
    """The message, with tensors as raw bytes."""
    message = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    for name, array in inputs.items():
        message.inputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
        message.raw_input_contents.append(to_raw(array))
    for key, value in parameters.items():
        setattr(message.parameters[key], _FIELDS[type(value)], value)
    return message


_LOST = ("ocket closed", "onnection reset", "roken pipe", "tream removed")
"""In what grpc says where a connection went away under a call."""


def unsent(problem: Exception) -> ServerError:
    """What this side has made cannot be sent."""
    return error_of_kind(ErrorKind.INTERNAL, f"the request could not be sent ({type(problem).__name__}: {problem})")


def grpc_error(code: grpc.StatusCode, details: str, address: Address, timeout: float) -> ServerError:
    """A call that failed."""
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return UnavailableError(f"{address} did not answer within {timeout:g} s")
    if code == grpc.StatusCode.UNAVAILABLE:
        if details.startswith("failed to connect"):
            return UnavailableError(f"no server answers at {address} in gRPC ({details})")
        if any(words in details for words in _LOST):
            return UnavailableError(f"the connection to {address} was lost ({details})")
    return error_of_kind(_KINDS.get(code, ErrorKind.UNKNOWN), details or f"{address} answered with {code.name}")
