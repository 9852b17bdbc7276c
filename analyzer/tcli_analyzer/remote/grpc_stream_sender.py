"""Many requests over gRPC streams, each with one request at a time, which any number of responses answer."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from tcli_analyzer.remote.grpc_sender import grpc_channel, grpc_error, infer_request, unsent
from tcli_analyzer.remote.wire import Wire, with_marks
from tcli_analyzer.target import OnReply, SequenceMark
from tcli_client import Address
from tcli_server.errors import ServerError, UnavailableError, UnknownError

_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
_SWEEP_SECONDS = 0.5
_EMPTY_FINAL = {"triton_enable_empty_final_response": True}
"""So that the last response of a decoupled model can be told."""


class GrpcStreamSender:
    """As `Sender`. Made in the loop's thread.

    A stream answers in the order of its requests: with several on one stream, a slow one would hold up the others.

    Attributes:
        responses: how many came so far, without those that only say that there are no more.
    """

    def __init__(self, address: Address, model: str, version: str, timeout: float, wire: Wire) -> None:
        self._address = address
        self._model = model
        self._version = version
        self._timeout = timeout
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._channel = grpc_channel(address, wire)
        self._metadata = tuple((name.lower(), value) for name, value in wire.all_headers().items()) or None
        self.responses = 0
        self._idle: list[_Stream] = []
        self._all: set[_Stream] = set()
        self._sweeping = self._loop.create_task(self._sweep())

    def prepare(self, inputs: Mapping[str, np.ndarray], sequence: SequenceMark | None = None) -> bytes:
        parameters = with_marks({**self._wire.parameters, **_EMPTY_FINAL}, sequence)
        return bytes(infer_request(self._model, self._version, inputs, parameters).SerializeToString())

    def send(self, request: bytes, reply: OnReply) -> None:
        stream = self._idle.pop() if self._idle else _Stream()
        stream.reply = reply
        stream.until = self._loop.time() + self._timeout
        stream.outgoing.put_nowait(request)
        if stream not in self._all:
            self._all.add(stream)
            stream.reading = self._loop.create_task(self._read(stream))

    async def close(self) -> None:
        tasks = [self._sweeping, *(stream.reading for stream in self._all if stream.reading is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._channel.close()

    async def _read(self, stream: "_Stream") -> None:
        error: ServerError = UnavailableError(f"{self._address} ended the stream")
        try:
            call = self._channel.stream_stream(_STREAM)(stream.requests(), metadata=self._metadata)
            async for raw in call:
                self._answered(stream, service_pb2.ModelStreamInferResponse.FromString(raw))
        except grpc.aio.AioRpcError as problem:
            error = grpc_error(problem.code(), problem.details() or "", self._address, self._timeout)
        except asyncio.CancelledError:
            error = UnavailableError("the load was ended before this request was answered")
        except Exception as problem:  # grpcio's own: without a reply the load would wait for ever
            error = unsent(problem)
        self._all.discard(stream)
        if stream in self._idle:
            self._idle.remove(stream)
        stream.end(error)

    def _answered(self, stream: "_Stream", message: service_pb2.ModelStreamInferResponse) -> None:
        if message.infer_response.outputs:
            self.responses += 1
        final = message.infer_response.parameters.get("triton_final_response")
        if message.error_message or final is None or final.bool_param:
            if stream.reply is not None:
                self._idle.append(stream)
            stream.end(UnknownError(message.error_message) if message.error_message else None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, self._timeout / 4))
            now = self._loop.time()
            for stream in [stream for stream in self._all if stream.until < now]:
                stream.end(UnavailableError(f"{self._address} did not answer within {self._timeout:g} s"))
                if stream.reading is not None:
                    stream.reading.cancel()


class _Stream:
    """One stream.

    Attributes:
        reply: of the request that is under way; None between two.
        until: when that is late, in the loop's time.
    """

    def __init__(self) -> None:
        self.outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self.reading: asyncio.Task[None] | None = None
        self.reply: OnReply | None = None
        self.until = float("inf")

    async def requests(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.outgoing.get()

    def end(self, error: ServerError | None) -> None:
        """The request that is under way is over."""
        reply, self.reply = self.reply, None
        self.until = float("inf")
        if reply is not None:
            reply(error)
