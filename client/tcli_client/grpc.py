"""The gRPC transport: grpcio and Triton's generated stubs, tensors as raw contents."""

import socket
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, TypeVar

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from tcli_client.address import Address
from tcli_client.credentials import NO_TOKEN_FIX, UNTRUSTED, UNTRUSTED_FIX, Credentials
from tcli_client.errors import (
    AnswerError,
    ClientError,
    InvalidRequestError,
    NotFoundError,
    RequestTimeoutError,
    ServerUnreachableError,
    UnavailableError,
    UnsupportedError,
    WrongProtocolError,
)
from tcli_client.patience import Patience
from tcli_client.tensors import Array, datatype_of, from_raw, from_values, to_raw
from tcli_client.transport import Answer, Inference, Transport

CONNECT_SECONDS = 5

_ERRORS: dict[grpc.StatusCode, type[AnswerError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
}
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_Response = TypeVar("_Response")


class GrpcTransport(Transport):
    """V2 over gRPC, all threads on one connection.

    Proxy settings of the environment are not used, as in Triton's own clients.

    Args:
        most_bytes: of an answer; -1 for any number.
    """

    def __init__(self, address: Address, timeout: float = 60, most_bytes: int = -1) -> None:
        self.address = address
        self._timeout = timeout
        options = [*_OPTIONS, ("grpc.max_receive_message_length", most_bytes)]
        credentials = Credentials.of_environment()
        self._metadata = tuple(credentials.headers.items()) or None
        target = address.host_and_port
        if address.tls:
            self._channel = grpc.secure_channel(target, credentials.channel_credentials(), options=options)
        else:
            self._channel = grpc.insecure_channel(target, options=options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def live(self) -> bool:
        return bool(self._ask(self._stub.ServerLive, service_pb2.ServerLiveRequest()).live)

    def ready(self) -> bool:
        return bool(self._ask(self._stub.ServerReady, service_pb2.ServerReadyRequest()).ready)

    def model_ready(self, model: str, version: str = "") -> bool:
        request = service_pb2.ModelReadyRequest(name=model, version=version)
        try:
            return bool(self._ask(self._stub.ModelReady, request).ready)
        except AnswerError:
            return False

    def metadata(self) -> service_pb2.ServerMetadataResponse:
        return self._ask(self._stub.ServerMetadata, service_pb2.ServerMetadataRequest())

    def model_metadata(self, model: str, version: str = "") -> service_pb2.ModelMetadataResponse:
        return self._ask(self._stub.ModelMetadata, service_pb2.ModelMetadataRequest(name=model, version=version))

    def model_config(self, model: str, version: str = "") -> model_config_pb2.ModelConfig:
        return self._ask(self._stub.ModelConfig, service_pb2.ModelConfigRequest(name=model, version=version)).config

    def index(self, ready: bool = False) -> list[service_pb2.RepositoryIndexResponse.ModelIndex]:
        return list(self._ask(self._stub.RepositoryIndex, service_pb2.RepositoryIndexRequest(ready=ready)).models)

    def statistics(self, model: str = "", version: str = "") -> list[service_pb2.ModelStatistics]:
        request = service_pb2.ModelStatisticsRequest(name=model, version=version)
        return list(self._ask(self._stub.ModelStatistics, request).model_stats)

    def load(self, model: str, config: str = "") -> None:
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        if config:
            request.parameters["config"].string_param = config
        self._ask(self._stub.RepositoryModelLoad, request)

    def unload(self, model: str, unload_dependents: bool = False) -> None:
        request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        request.parameters["unload_dependents"].bool_param = unload_dependents
        self._ask(self._stub.RepositoryModelUnload, request)

    def infer(self, inference: Inference) -> Answer:
        return self._answer(self._ask(self._stub.ModelInfer, _request(inference)))

    def stream(self, inferences: Iterator[Inference]) -> Generator[Answer | AnswerError, None, None]:
        call = self._stub.ModelStreamInfer(map(_request, inferences), metadata=self._metadata)
        with Patience(self._timeout, call.cancel) as patience:
            try:
                while (response := patience.of(partial(next, call, None))) is not None:
                    if response.error_message:
                        yield AnswerError(response.error_message, grpc.StatusCode.UNKNOWN.name)
                    else:
                        yield self._answer(response.infer_response)
            except grpc.RpcError as problem:
                raise self._late() if patience.lost else self._error(problem) from None
            finally:
                call.cancel()

    def close(self) -> None:
        self._channel.close()

    def _ask(self, method: Callable[..., _Response], request: Any) -> _Response:
        try:
            return method(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as problem:
            raise self._error(problem) from None

    def _answer(self, response: service_pb2.ModelInferResponse) -> Answer:
        try:
            outputs = {output.name: _array(response, index) for index, output in enumerate(response.outputs)}
        except ValueError as problem:
            raise WrongProtocolError(
                f"the answer of {self.address} is not a V2 inference response: {problem}"
            ) from None
        return Answer(response.model_name, response.model_version, response.id, outputs)

    def _late(self) -> RequestTimeoutError:
        return RequestTimeoutError(f"{self.address} did not answer within {self._timeout:g} s")

    def _error(self, problem: Any) -> ClientError:
        code, details = problem.code(), problem.details() or ""
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._late()
        if code == grpc.StatusCode.UNAVAILABLE:
            return self._unavailable(details)
        if code == grpc.StatusCode.UNIMPLEMENTED and not details.strip():
            return WrongProtocolError(f"{self.address} speaks gRPC, but not the V2 inference protocol")
        fix = NO_TOKEN_FIX if code == grpc.StatusCode.UNAUTHENTICATED else ""
        return _ERRORS.get(code, AnswerError)(details or code.name, code.name, fix)

    def _unavailable(self, details: str) -> ClientError:
        """gRPC has one status for "no such host", "not gRPC" and "the server says later": a plain connection tells."""
        try:
            socket.create_connection((self.address.host, self.address.port), CONNECT_SECONDS).close()
        except OSError as problem:
            return ServerUnreachableError(f"no server answers at {self.address} ({problem.strerror or problem})")
        if "CERTIFICATE_VERIFY_FAILED" in details:
            return ServerUnreachableError(UNTRUSTED.format(self.address), UNTRUSTED_FIX)
        if details.startswith("failed to connect"):
            other = f"if that is the HTTP port, use http{'s' * self.address.tls}://{self.address.host_and_port}"
            return WrongProtocolError(
                f"something answers at {self.address}, but not in {'gRPC with TLS' if self.address.tls else 'gRPC'}",
                f"if it wants a certificate, name yours by TCLI_CLIENT_CERT; {other}" if self.address.tls else other,
            )
        if "ocket closed" in details or "onnection reset" in details:
            return ServerUnreachableError(f"the connection to {self.address} was lost")
        return UnavailableError(details, "UNAVAILABLE")


def _request(inference: Inference) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(
        model_name=inference.model, model_version=inference.version, id=inference.id
    )
    for name, array in inference.inputs.items():
        request.inputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
        request.raw_input_contents.append(to_raw(array))
    for output in inference.outputs:
        wanted = request.outputs.add(name=output.name)
        if output.classes:
            wanted.parameters["classification"].int64_param = output.classes
    return request


def _array(response: service_pb2.ModelInferResponse, index: int) -> Array:
    output = response.outputs[index]
    if index < len(response.raw_output_contents):
        return from_raw(output.datatype, output.shape, response.raw_output_contents[index])
    field = _CONTENTS.get(output.datatype)  # Triton always answers raw; other servers may not
    if field is None:
        raise ValueError(f"output '{output.name}' of type {output.datatype} has no data")
    return from_values(output.datatype, output.shape, list(getattr(output.contents, field)))
