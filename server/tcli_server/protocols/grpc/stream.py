"""One `ModelStreamInfer` call: requests run side by side and may share batches.

Answers keep the order of their requests; the responses of decoupled models come when they come, between the answers.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from tcli_server.errors import ServerError, UnavailableError
from tcli_server.observability.access_entry import AccessEntry
from tcli_server.protocols.grpc.admission import SHUTTING_DOWN
from tcli_server.protocols.grpc.errors import as_server_error
from tcli_server.protocols.grpc.flows import Flow, Flows
from tcli_server.protocols.grpc.rpc import Message, Parts, StreamCall
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.tracing.trace import Trace

IN_FLIGHT = 64
"""Requests of one stream that may be under way, read but not yet answered, before the next is read. Those to decoupled
models count only until they are submitted: see `flows.MOST_FLOWS`."""

STALL_SECS = 75.0
SLOWEST = 1 << 17
"""A client that does not take a decoupled model's response within so many seconds, and as many more as it has times so many
bytes, loses its stream: the model may be waiting for it, and others for the model."""

_MOST_SEQUENCES = 1000
"""Sequences of a stream that are remembered; others lose their slot when they have been idle for too long."""

_Answer = Parts | ServerError | None
"""What the client is sent: a message, the error that ends the stream, nothing."""
Sequence = tuple[str, str, int | str]
"""Model, version and id of a sequence."""


class Place:
    """A request's place in its stream: those of a sequence must reach the model in the order in which they came.

    Attributes:
        trace: of the request, until that is answered; None where it is not traced.
    """

    __slots__ = ("_before", "_taken", "trace")

    def __init__(self, before: "Place | None") -> None:
        self.trace: Trace | None = None
        self._before = before
        self._taken = asyncio.Event()

    async def wait(self) -> None:
        """Wait until all requests before have been submitted, or never will be."""
        before = self._before
        while before is not None:  # one that failed early may have left before its turn
            await before._taken.wait()
            before = before._before
        self._before = None

    def leave(self) -> None:
        """This request is submitted, or never will be."""
        while self._before is not None and self._before._taken.is_set():
            self._before = self._before._before
        self._taken.set()


class Stream:
    """Answers what comes on one stream until the client has no more, goes away, or is told an error as the status.

    Args:
        answer: makes of a request's bytes the answer's, or begins one of the `flows`.
        encode: makes of a flow's response what is sent.

    Attributes:
        flows: the requests to decoupled models.
        sequences: those that began on this stream and have not ended.
        identity: as `InferenceRequest.connection`; not the stream itself, which would be kept by its sequences.
    """

    def __init__(
        self,
        answer: Callable[["Stream", Message, Place], Coroutine[Any, Any, _Answer]],
        encode: Callable[[Flow, InferenceResponse], Coroutine[Any, Any, _Answer]],
        flows: Flows,
        call: StreamCall,
    ) -> None:
        self.sequences: set[Sequence] = set()
        self.identity = object()
        self.flows = flows
        self._answer = answer
        self._encode = encode
        self._call = call
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._begun: asyncio.Queue[tuple[asyncio.Task[_Answer], Place] | None] = asyncio.Queue()
        self._unanswered: set[asyncio.Task[_Answer]] = set()
        self._traces: set[Trace] = set()
        self._writing = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._closed = False
        self._count = 0  # of requests that came
        self._count_at_rest = -1
        self._failure: ServerError | None = None

    def close(self) -> None:
        """Read nothing more; the stream ends as soon as all that it began is answered."""
        self._closed = True
        if self._reader is not None:
            self._reader.cancel()

    def close_if_idle(self) -> None:
        """Close it if it has nothing under way, nothing to go on with, and nothing has come since the last such look."""
        at_rest = not (self._unanswered or self.flows.any or self.sequences)
        if at_rest and self._count == self._count_at_rest:
            self.close()
        self._count_at_rest = self._count if at_rest else -1

    async def run(self) -> ServerError | None:
        """Serve the stream to its end, and return the error to end it with. Whoever cancels this cancels all that it began."""
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(self._no_more)
        if self._closed:
            self._reader.cancel()
        writers = [asyncio.create_task(self._write_answers()), asyncio.create_task(self._write_flows())]
        try:
            ended, _ = await asyncio.wait(writers, return_when=asyncio.FIRST_COMPLETED)
            return ended.pop().result()
        finally:
            self._reader.cancel()
            self._reader = None  # a circle, by what it was doing
            for task in (*writers, *self._unanswered):
                task.cancel()
            self.flows.close()
            for trace in self._traces:
                trace.close()

    async def _read(self) -> None:
        place: Place | None = None
        while True:
            await self._room.acquire()
            data = await self._call.read()
            if data is None:  # the client has no more; or it is gone, and this stream is about to be cancelled
                return
            self._count += 1
            place = Place(place)
            task = asyncio.create_task(self._answer(self, data, place))
            task.add_done_callback(partial(_leave, place))
            self._unanswered.add(task)
            task.add_done_callback(self._unanswered.discard)
            self._begun.put_nowait((task, place))

    def begin_entry(self, size: int) -> AccessEntry | None:
        """The entry of a message of so many bytes in the access log; None where there is none."""
        begin = self._call.access
        return None if begin is None else begin(size)

    def trace(self, place: Place, trace: Trace | None) -> None:
        """Have the request at a place traced until it is answered, or nobody waits for its answer any more."""
        if trace is not None:
            place.trace = trace
            self._traces.add(trace)

    def follow(self, request: InferenceRequest) -> None:
        """Remember a sequence while it is open."""
        if request.sequence_id:
            request.connection = self.identity
            sequence = (request.model_name, request.model_version, request.sequence_id)
            if request.sequence_end:
                self.sequences.discard(sequence)
            elif request.sequence_start and len(self.sequences) < _MOST_SEQUENCES:
                self.sequences.add(sequence)

    def _no_more(self, reader: "asyncio.Task[None]") -> None:
        """However reading ended: what was begun is answered, then the stream ends."""
        if reader.cancelled():
            self._failure = UnavailableError(SHUTTING_DOWN)
        elif isinstance(error := reader.exception(), Exception):
            self._failure = as_server_error(error, "ModelStreamInfer")
        self._begun.put_nowait(None)

    async def _write_answers(self) -> ServerError | None:
        """Until there is nothing more to write, or an error to end with; nobody else writes then."""
        while (begun := await self._begun.get()) is not None:
            task, place = begun
            answer = await task
            if isinstance(answer, ServerError):
                await self._writing.acquire()
                return answer
            if answer is not None:
                async with self._writing:
                    await self._write(place.trace, answer)
                if place.trace is not None:
                    self._traces.discard(place.trace)
            self._room.release()
        await self.flows.ended()
        return self._failure

    async def _write_flows(self) -> ServerError:
        """Until there is an error to end with; nobody else writes then, or nobody can."""
        while True:
            flow, response, size = await self.flows.next()
            message = await self._encode(flow, response)
            if isinstance(message, ServerError):
                await self._writing.acquire()
                return message
            if message is not None:
                try:
                    async with asyncio.timeout(STALL_SECS + sum(map(len, message)) / SLOWEST), self._writing:
                        await self._write(flow.trace, message, response.final)
                except TimeoutError:
                    return UnavailableError("the client does not take the responses, for which the model waits")
            self.flows.taken(flow, response, size)

    async def _write(self, trace: Trace | None, parts: Parts, last: bool = True) -> None:
        if trace is None:
            await self._call.write(*parts)
        else:
            with trace.sending("GRPC", last):
                await self._call.write(*parts)


def _leave(place: Place, _: "asyncio.Task[_Answer]") -> None:
    place.leave()
