"""`ModelInfer` and `ModelStreamInfer`: the hot path from a request's bytes to the engine and back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from tcli_server.engine import Engine
from tcli_server.errors import InternalError, ServerError
from tcli_server.observability.log import LOG
from tcli_server.protocols.grpc.errors import details, status_and_details
from tcli_server.protocols.grpc.infer_request import Classes, decode_request
from tcli_server.protocols.grpc.infer_response import encode_response, takes_long
from tcli_server.protocols.grpc.wire import TooManyFieldsError, split_request, varint
from tcli_server.protocols.mailbox import ReplyMailbox
from tcli_server.protocols.turn import TurnEnd
from tcli_server.request import InferenceRequest, InferenceResponse

_LARGE = 1 << 14
"""Bytes from which a request's tensors are cut out of it instead of being parsed with it."""

_MANY_BYTES = 1 << 14
_MANY_FIELDS = 500
"""Bytes of a message without its raw tensors, and fields, from which reading them one by one is left to a thread."""

_ERROR_AS_STATUS = "triton_grpc_error"
_STREAM_RESPONSE = bytes([(service_pb2.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER << 3) | 2])
_STREAM_IN_FLIGHT = 64
"""Requests of one stream that may be under way before the next is read."""

_Asked = tuple[InferenceRequest, Classes]


class Inference:
    """Runs inferences for one gRPC server; takes and gives serialized messages."""

    def __init__(
        self, engine: Engine, loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor, compression: grpc.Compression
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._streams: set[asyncio.Queue[asyncio.Task[bytes] | None]] = set()
        self._pool = pool
        self._compression = compression
        self._post = ReplyMailbox(loop).post
        self._turn_end = TurnEnd(loop)

    async def model_infer(self, data: bytes, context: Any) -> bytes:
        """Answer one request."""
        if self._compression is not grpc.Compression.NoCompression:
            context.set_compression(self._compression)
        try:
            asked = self._decode_small(data) if len(data) < _LARGE else await self._decode_large(data)
            return await self._answer(asked)
        except Exception as error:
            failure = _told(error)
        await context.abort(*status_and_details(failure))
        raise AssertionError("abort raises")

    async def _answer(self, asked: _Asked, final_flag: bool = False) -> bytes:
        request, classes = asked
        future: asyncio.Future[InferenceResponse] = self._loop.create_future()
        request.reply = partial(self._post, partial(_resolve, future))
        self._engine.submit(request, self._turn_end)
        response = await future
        if response.error is not None:
            raise response.error
        if takes_long(response, classes):
            return await self._loop.run_in_executor(self._pool, encode_response, response, classes, final_flag)
        return encode_response(response, classes, final_flag)

    def _decode_small(self, data: bytes) -> _Asked:
        message = _parse(data)
        return self._decode(message, message.raw_input_contents)

    async def _decode_large(self, data: bytes) -> _Asked:
        try:
            rest, raw = split_request(data, _MANY_FIELDS)
        except (ValueError, TooManyFieldsError):
            return await self._loop.run_in_executor(self._pool, self._decode_at_leisure, data)
        if len(rest) < _MANY_BYTES:
            message = _parse(rest)
            if not any(tensor.datatype == "BYTES" for tensor in message.inputs):
                return self._decode(message, raw)
        return await self._loop.run_in_executor(self._pool, self._decode_at_leisure, data)

    def _decode_at_leisure(self, data: bytes) -> _Asked:
        """Typed contents and strings are converted one by one, which must not hold up everybody else."""
        try:
            rest, raw = split_request(data)
        except ValueError:  # protobuf's own parser has the last word
            message = _parse(data)
            return self._decode(message, message.raw_input_contents)
        return self._decode(_parse(rest), raw)

    def _decode(self, message: service_pb2.ModelInferRequest, raw: Sequence[bytes | memoryview]) -> _Asked:
        self._engine.model(message.model_name, message.model_version)  # first, as in Triton: is it there at all?
        return decode_request(message, raw)

    async def model_stream_infer(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Answer the requests of a stream in their order; they run side by side and may share batches."""
        as_status = any(key == _ERROR_AS_STATUS and value == "true" for key, value in context.invocation_metadata())
        begun: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(_STREAM_IN_FLIGHT)
        self._streams.add(begun)
        reader = self._loop.create_task(self._read_stream(requests, begun, as_status))
        try:
            while (answer := await begun.get()) is not None:
                yield await answer
        except ServerError as error:
            await context.abort(*status_and_details(error))
        finally:
            self._streams.discard(begun)
            reader.cancel()
            while not begun.empty():
                if (left := begun.get_nowait()) is not None:
                    left.cancel()

    def end_streams(self) -> None:
        """End each stream behind the answers that are due; clients may keep streams open without asking anything."""
        for begun in list(self._streams):
            if not begun.full():  # else a later call finds room
                begun.put_nowait(None)
                self._streams.discard(begun)

    async def _read_stream(
        self, requests: AsyncIterator[bytes], begun: "asyncio.Queue[asyncio.Task[bytes] | None]", as_status: bool
    ) -> None:
        async for data in requests:
            await begun.put(self._loop.create_task(self._stream_response(data, as_status)))
        await begun.put(None)

    async def _stream_response(self, data: bytes, as_status: bool) -> bytes:
        request_id = ""
        try:
            asked = self._decode_small(data) if len(data) < _LARGE else await self._decode_large(data)
            request_id = asked[0].id
            body = await self._answer(asked, final_flag=True)
            return _STREAM_RESPONSE + varint(len(body)) + body
        except Exception as error:
            failure = _told(error)
            if as_status:
                raise failure from None
            failed = service_pb2.ModelStreamInferResponse(error_message=details(str(failure)))
            failed.infer_response.id = request_id or _request_id(data)
            return bytes(failed.SerializeToString())


def _told(error: Exception) -> ServerError:
    """An error as the client hears of it; a defect must answer this request and leave the server running."""
    if isinstance(error, ServerError):
        return error
    LOG.error("an inference failed", exc_info=error)
    return InternalError(f"{type(error).__name__}: {error}")


def _parse(data: bytes) -> service_pb2.ModelInferRequest:
    try:
        return service_pb2.ModelInferRequest.FromString(data)
    except DecodeError as error:
        raise InternalError(f"Unable to parse request: {error}") from None


def _request_id(data: bytes) -> str:
    try:
        return str(_parse(data).id)
    except ServerError:
        return ""


def _resolve(future: asyncio.Future[InferenceResponse], response: InferenceResponse) -> None:
    if not future.done():  # the client may have given up
        future.set_result(response)
