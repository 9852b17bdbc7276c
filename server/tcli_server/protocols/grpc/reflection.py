"""gRPC's server reflection: tells clients such as grpcurl what can be called, and what the messages look like.

Source: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from tcli_server.errors import InternalError, InvalidArgumentError, ServerError, UnavailableError
from tcli_server.protocols.grpc.admission import SHUTTING_DOWN
from tcli_server.protocols.grpc.described_files import HEALTH, REFLECTIONS
from tcli_server.protocols.grpc.errors import Status
from tcli_server.protocols.grpc.rpc import Message, Rpcs, StreamCall
from tcli_server.protocols.grpc.waking import wake
from tcli_server.protocols.texts import short

_LARGEST = 1 << 14
"""Bytes of a request: a name and nothing else."""

_METHOD = "ServerReflectionInfo"


class Reflection:
    """Answers about the services there are; the same way to both versions of the protocol, which differ by their names only.

    Attributes:
        rpcs: what can be called.
    """

    def __init__(self) -> None:
        # A pool of its own: another package of this process may have the protocol's messages, too.
        self._pool = descriptor_pool.DescriptorPool()
        service = service_pb2.DESCRIPTOR
        described = [*map(_as_message, service.dependencies), _as_message(service), HEALTH, *REFLECTIONS]
        for file in described:
            self._pool.Add(file)
        self._services = sorted(f"{file.package}.{one.name}" for file in described for one in file.service)
        package = REFLECTIONS[0].package
        self._request = self._message(f"{package}.ServerReflectionRequest")
        self._response = self._message(f"{package}.ServerReflectionResponse")
        self._closed = False
        self._ends: set[asyncio.Future[None]] = set()  # of the streams that there are
        self.rpcs = Rpcs({}, {f"/{file.package}.{file.service[0].name}/{_METHOD}": self._serve for file in REFLECTIONS})

    def close(self) -> None:
        """End the streams there are, and all that come: they would go on for as long as their clients like."""
        self._closed = True
        wake(list(self._ends))

    def _message(self, name: str) -> Any:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))

    async def _serve(self, call: StreamCall) -> ServerError | None:
        end = asyncio.get_running_loop().create_future()
        if self._closed:
            end.set_result(None)
        self._ends.add(end)
        try:
            while (data := await self._next(call, end)) is not None:
                await call.write(self._answer(data))
        except ServerError as error:
            return error
        finally:
            self._ends.discard(end)
        return UnavailableError(SHUTTING_DOWN) if self._closed else None

    async def _next(self, call: StreamCall, end: "asyncio.Future[None]") -> Message | None:
        """The next question; None if there are no more, or the server ends."""
        # The call's own task is not to be cancelled: grpc.aio may then send no status at all, and the client waits for ever.
        reading = asyncio.ensure_future(call.read())
        try:
            await asyncio.wait((reading, end), return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() and not end.done() else None
        finally:
            if not reading.cancel() and not reading.cancelled():
                reading.exception()  # is looked at, if nobody did

    def _answer(self, data: Message) -> bytes:
        if len(data) > _LARGEST:
            raise InvalidArgumentError(f"the request has {len(data)} bytes, expected at most {_LARGEST}")
        try:
            request = self._request.FromString(data)
        except DecodeError as error:
            raise InternalError(f"Unable to parse request: {error}") from None
        response = self._response(valid_host=request.host, original_request=request)
        asked = request.WhichOneof("message_request")
        try:
            self._fill(response, request, asked)
        except KeyError:
            response.error_response.error_code = Status.NOT_FOUND
            response.error_response.error_message = (
                f"{asked}: there is no {short(str(getattr(request, asked)).strip())}"
            )
        return response.SerializeToString()  # type: ignore[no-any-return]

    def _fill(self, response: Any, request: Any, asked: str | None) -> None:
        """Put in what is asked.

        Raises:
            KeyError: there is no such thing.
        """
        pool = self._pool
        match asked:
            case "list_services":
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._add_files(response, pool.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                self._add_files(response, pool.FindFileContainingSymbol(request.file_containing_symbol))
            case "file_containing_extension":
                extended = pool.FindMessageTypeByName(request.file_containing_extension.containing_type)
                number = request.file_containing_extension.extension_number
                extension = pool.FindExtensionByNumber(extended, number)
                self._add_files(response, pool.FindFileContainingSymbol(extension.full_name))
            case "all_extension_numbers_of_type":
                extended = pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
                response.all_extension_numbers_response.base_type_name = extended.full_name
                numbers = (extension.number for extension in pool.FindAllExtensions(extended))
                response.all_extension_numbers_response.extension_number.extend(numbers)
            case _:
                response.error_response.error_code = Status.INVALID_ARGUMENT
                response.error_response.error_message = "nothing is asked, or nothing that this server knows"

    def _add_files(self, response: Any, file: Any) -> None:
        files = (_as_message(one).SerializeToString() for one in _with_dependencies(file))
        response.file_descriptor_response.file_descriptor_proto.extend(files)


def _with_dependencies(file: Any) -> Iterable[Any]:
    found = {file.name: file}
    for dependency in file.dependencies:
        for one in _with_dependencies(dependency):
            found.setdefault(one.name, one)
    return found.values()


def _as_message(file: Any) -> descriptor_pb2.FileDescriptorProto:
    message = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(message)
    return message
