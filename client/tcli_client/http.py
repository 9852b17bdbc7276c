"""The HTTP transport: httpx, tensors as binary data behind the JSON header."""

import json
from collections.abc import Generator, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from google.protobuf import json_format
from google.protobuf.message import Message
from tritonclient.grpc import model_config_pb2, service_pb2

from tcli_client.address import Address
from tcli_client.credentials import NO_TOKEN_FIX, UNTRUSTED, UNTRUSTED_FIX, Credentials
from tcli_client.errors import (
    AnswerError,
    InvalidRequestError,
    NotFoundError,
    OptionError,
    RequestTimeoutError,
    ServerUnreachableError,
    UnavailableError,
    UnsupportedError,
    WrongProtocolError,
)
from tcli_client.tensors import Array, datatype_of, from_raw, from_values, to_raw
from tcli_client.transport import Answer, Inference, Transport

HEADER_LENGTH = "Inference-Header-Content-Length"
CONNECT_SECONDS = 5

_LONGEST_MESSAGE = 16 << 10
"""Characters of what a server says is wrong; gRPC takes about as much."""

_ERRORS: dict[int, type[AnswerError]] = {
    400: InvalidRequestError,
    404: NotFoundError,
    501: UnsupportedError,
    503: UnavailableError,
}
_M = TypeVar("_M", bound=Message)


class HttpTransport(Transport):
    """V2 over HTTP/1.1, one connection for each thread that asks at the same time.

    Proxy settings of the environment are not used, as in Triton's own clients. Tensors travel as binary data; to a server
    that does not list the `binary_tensor_data` extension they travel as JSON.

    Args:
        below: sends the requests, where that is not to be done as usual.
    """

    def __init__(self, address: Address, timeout: float = 60, below: httpx.BaseTransport | None = None) -> None:
        self.address = address
        credentials = Credentials.of_environment()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.Client(
            base_url=str(address),
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            headers=credentials.headers,
            transport=below
            or httpx.HTTPTransport(limits=limits, verify=credentials.ssl_context() if credentials.is_for_tls else True),
        )

    def live(self) -> bool:
        return self._send("GET", "/v2/health/live").is_success

    def ready(self) -> bool:
        return self._send("GET", "/v2/health/ready").is_success

    def model_ready(self, model: str, version: str = "") -> bool:
        return self._send("GET", f"{_model_path(model, version)}/ready").is_success

    def metadata(self) -> service_pb2.ServerMetadataResponse:
        return self._message("GET", "/v2", service_pb2.ServerMetadataResponse())

    def model_metadata(self, model: str, version: str = "") -> service_pb2.ModelMetadataResponse:
        return self._message("GET", _model_path(model, version), service_pb2.ModelMetadataResponse())

    def model_config(self, model: str, version: str = "") -> model_config_pb2.ModelConfig:
        return self._message("GET", f"{_model_path(model, version)}/config", model_config_pb2.ModelConfig())

    def index(self, ready: bool = False) -> list[service_pb2.RepositoryIndexResponse.ModelIndex]:
        response = self._asked("POST", "/v2/repository/index", content=json.dumps({"ready": ready} if ready else {}))
        return list(self._parse({"models": self._json(response)}, service_pb2.RepositoryIndexResponse()).models)

    def statistics(self, model: str = "", version: str = "") -> list[service_pb2.ModelStatistics]:
        path = f"{_model_path(model, version)}/stats" if model else "/v2/models/stats"
        return list(self._message("GET", path, service_pb2.ModelStatisticsResponse()).model_stats)

    def load(self, model: str, config: str = "") -> None:
        self._control(model, "load", {"config": config} if config else {})

    def unload(self, model: str, unload_dependents: bool = False) -> None:
        self._control(model, "unload", {"unload_dependents": unload_dependents})

    def _control(self, model: str, what: str, parameters: Mapping[str, object]) -> None:
        path = f"/v2/repository/models/{quote(model, safe='')}/{what}"
        self._asked("POST", path, content=json.dumps({"parameters": parameters} if parameters else {}))

    def infer(self, inference: Inference) -> Answer:
        header, blobs = self._request(inference)
        headers = {"Content-Type": "application/json"}
        if blobs:
            headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(header))}
        path = f"{_model_path(inference.model, inference.version)}/infer"
        return self._answer(self._asked("POST", path, content=b"".join([header, *blobs]), headers=headers))

    def stream(self, inferences: Iterator[Inference]) -> Generator[Answer | AnswerError, None, None]:  # noqa: ARG002
        raise OptionError("HTTP has no streams of requests", "ask over gRPC")

    def close(self) -> None:
        self._client.close()

    @cached_property
    def _binary(self) -> bool:
        return "binary_tensor_data" in self.metadata().extensions

    def _request(self, inference: Inference) -> tuple[bytes, list[bytes]]:
        """The JSON header, and the tensors that follow it."""
        blobs: list[bytes] = []
        inputs = []
        for name, array in inference.inputs.items():
            entry: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": array.shape}
            if self._binary:
                blobs.append(to_raw(array))
                entry["parameters"] = {"binary_data_size": len(blobs[-1])}
            else:
                values = array.ravel().tolist()
                entry["data"] = [item.decode() if isinstance(item, bytes) else item for item in values]
            inputs.append(entry)
        request: dict[str, Any] = {"inputs": inputs}
        if inference.id:
            request["id"] = inference.id
        if inference.outputs:
            request["outputs"] = [self._wanted(output.name, output.classes) for output in inference.outputs]
        elif self._binary:
            request["parameters"] = {"binary_data_output": True}
        return json.dumps(request).encode(), blobs

    def _wanted(self, name: str, classes: int) -> dict[str, Any]:
        parameters: dict[str, Any] = {"binary_data": True} if self._binary else {}
        if classes:
            parameters["classification"] = classes
        return {"name": name, "parameters": parameters} if parameters else {"name": name}

    def _answer(self, response: httpx.Response) -> Answer:
        try:
            length = int(response.headers.get(HEADER_LENGTH, len(response.content)))
            body = memoryview(response.content)
            header = json.loads(bytes(body[:length]))
            outputs: dict[str, Array] = {}
            for entry in header["outputs"]:
                size = (entry.get("parameters") or {}).get("binary_data_size")
                if size is None:
                    array = from_values(entry["datatype"], entry["shape"], entry["data"])
                else:
                    array = from_raw(entry["datatype"], entry["shape"], body[length : length + size])
                    length += size
                outputs[entry["name"]] = array
            return Answer(
                header["model_name"], str(header.get("model_version", "")), str(header.get("id") or ""), outputs
            )
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise WrongProtocolError(
                f"the answer of {self.address} is not a V2 inference response: {problem}"
            ) from None

    def _message(self, method: str, path: str, into: _M) -> _M:
        return self._parse(self._json(self._asked(method, path)), into)

    def _parse(self, value: Any, into: _M) -> _M:
        try:
            # Unknown fields are those of a newer server; numbers may come as strings.
            json_format.ParseDict(value, into, ignore_unknown_fields=True)
        except (json_format.ParseError, AttributeError, TypeError) as problem:
            raise WrongProtocolError(f"the answer of {self.address} is not V2's: {problem}") from None
        return into

    def _json(self, response: httpx.Response) -> Any:
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            raise self._not_v2(response) from None

    def _asked(
        self, method: str, path: str, content: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        response = self._send(method, path, content, headers)
        if response.is_success:
            return response
        if response.status_code == httpx.codes.METHOD_NOT_ALLOWED:  # all that is sent here has V2's methods
            raise self._not_v2(response)
        try:
            message = str(json.loads(response.content)["error"])[:_LONGEST_MESSAGE]
        except (ValueError, KeyError, TypeError, RecursionError):
            if (
                response.status_code == httpx.codes.SERVICE_UNAVAILABLE
            ):  # what proxies and starting servers say, without a body of V2's
                raise UnavailableError(f"{self.address} is unavailable", "503") from None
            raise self._not_v2(response) from None
        fix = NO_TOKEN_FIX if response.status_code == httpx.codes.UNAUTHORIZED else ""
        raise _ERRORS.get(response.status_code, AnswerError)(message, str(response.status_code), fix)

    def _send(
        self, method: str, path: str, content: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        try:
            return self._client.request(method, path, content=content, headers=headers)
        except httpx.ConnectError as problem:
            if "unable to get local issuer" in str(problem) or "self-signed" in str(problem):
                raise ServerUnreachableError(UNTRUSTED.format(self.address), UNTRUSTED_FIX) from None
            if "wrong version number" in str(problem).lower().replace("_", " "):  # OpenSSL's words for what is no TLS
                raise WrongProtocolError(
                    f"something answers at {self.address}, but not in TLS",
                    f"if it speaks plain HTTP, use http://{self.address.host_and_port}",
                ) from None
            raise ServerUnreachableError(f"no server answers at {self.address} ({_reason(problem)})") from None
        except httpx.ConnectTimeout:
            raise ServerUnreachableError(f"no server answers at {self.address} (timed out)") from None
        except httpx.TimeoutException:
            seconds = self._client.timeout.read
            raise RequestTimeoutError(f"{self.address} did not answer within {seconds:g} s") from None
        except httpx.RemoteProtocolError as problem:
            if "disconnected" in str(problem):
                fix = "" if self.address.tls else f"if it speaks TLS, use https://{self.address.host_and_port}"
                raise ServerUnreachableError(f"{self.address} closed the connection without an answer", fix) from None
            raise WrongProtocolError(
                f"something answers at {self.address}, but not in HTTP",
                f"if that is the gRPC port, use grpc://{self.address.host_and_port}",
            ) from None
        except httpx.TransportError as problem:
            raise ServerUnreachableError(f"the connection to {self.address} was lost ({_reason(problem)})") from None

    def _not_v2(self, response: httpx.Response) -> WrongProtocolError:
        return WrongProtocolError(
            f"{self.address} speaks HTTP, but not the V2 inference protocol (status {response.status_code})",
            "check the port: a server's HTTP port (8000), not its metrics port (8002)",
        )


def _model_path(model: str, version: str) -> str:
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _reason(problem: Exception) -> str:
    text = str(problem) or type(problem).__name__
    return text.partition("] ")[2] or text  # without "[Errno 111] "
