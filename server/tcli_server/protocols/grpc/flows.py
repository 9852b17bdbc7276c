"""What decoupled models answer on one stream: a request's responses in their order, the requests in turns."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from tcli_server.errors import UnavailableError
from tcli_server.observability.access_entry import AccessEntry
from tcli_server.protocols.grpc.access import GONE
from tcli_server.protocols.grpc.infer_request import OutputForms
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.tracing.trace import Trace
from tcli_server.window import ResponseWindow, Room

MOST_FLOWS = 4096
"""Requests to decoupled models that one stream may have under way. They may never end, so it does not wait for them."""

Post = Callable[[Callable[[Any], None], Any], None]


class Flow:
    """One request to a decoupled model, and those of its responses that wait for their turn.

    Attributes:
        tells_end: the client wants to hear of an end without another response.
        access: its entry in the access log; None where there is none.
        trace: None where it is not traced.
    """

    __slots__ = ("_arrived", "_post", "_window", "access", "forms", "request", "tells_end", "trace", "waiting")

    def __init__(
        self,
        request: InferenceRequest,
        forms: OutputForms,
        tells_end: bool,
        room: Room,
        post: Post,
        arrived: Callable[[tuple["Flow", InferenceResponse, int]], None],
        access: AccessEntry | None,
    ) -> None:
        self.request = request
        self.forms = forms
        self.tells_end = tells_end
        self.waiting: deque[tuple[InferenceResponse, int]] = deque()
        self._window = ResponseWindow(room=room)
        self._post = post
        self._arrived = arrived
        request.takes_many = True
        request.window = self._window
        request.reply = self._reply
        self.trace: Trace | None = None
        self.access = access
        if access is not None:
            access.follow(request)

    def taken(self, size: int) -> None:
        """The client has another of the responses."""
        self._window.take(size)

    def _reply(self, response: InferenceResponse) -> None:
        """Called by whichever thread the response comes from."""
        size = response.size
        self._window.add(size)
        self._post(self._arrived, (self, response, size))


class Flows:
    """All flows of one stream; for the loop's thread alone.

    Args:
        post: has the loop call something; from any thread.
        left: called once for each flow that has ended.
    """

    def __init__(self, post: Post, left: Callable[[], None]) -> None:
        self._post = post
        self._left = left
        self._room = Room()
        self._open: set[Flow] = set()
        self._ready: deque[Flow] = deque()
        self._change = asyncio.Event()
        self._closed = False

    @property
    def any(self) -> bool:
        """Whether a request is under way."""
        return bool(self._open)

    def begin(
        self, request: InferenceRequest, forms: OutputForms, tells_end: bool, access: AccessEntry | None = None
    ) -> Flow:
        """Have a request's responses come here; it may be submitted then.

        Raises:
            UnavailableError: too many requests of the stream are unfinished.
        """
        if len(self._open) >= MOST_FLOWS:
            raise UnavailableError(
                f"{MOST_FLOWS} requests of this stream to decoupled models are unfinished, which is the most that one may "
                "have: use more streams, or try again later"
            )
        flow = Flow(request, forms, tells_end, self._room, self._post, self._arrived, access)
        self._open.add(flow)
        return flow

    async def next(self) -> tuple[Flow, InferenceResponse, int]:
        """The response whose turn it is, and its size for `taken`; waits until there is one."""
        while not self._ready:
            self._change.clear()
            await self._change.wait()
        flow = self._ready.popleft()
        response, size = flow.waiting.popleft()
        if flow.waiting:
            self._ready.append(flow)
        return flow, response, size

    def taken(self, flow: Flow, response: InferenceResponse, size: int) -> None:
        """The transport has what `next` gave."""
        flow.taken(size)
        if response.final:
            self._open.discard(flow)
            if flow.trace is not None:
                flow.trace.close()
            self._left()
            self._change.set()

    async def ended(self) -> None:
        """Wait until every request has been answered to its end."""
        while self._open:
            self._change.clear()
            await self._change.wait()

    def close(self) -> None:
        """Nobody wants any of it any more."""
        self._closed = True
        flows, self._open = self._open, set()
        self._ready.clear()
        for flow in flows:
            flow.request.cancel()
            if flow.access is not None:
                flow.access.end(GONE, failed=True)
            if flow.trace is not None:
                flow.trace.close()
            self._left()

    def _arrived(self, arrival: tuple[Flow, InferenceResponse, int]) -> None:
        flow, response, size = arrival
        if self._closed:
            return
        if not flow.waiting:
            self._ready.append(flow)
            self._change.set()
        flow.waiting.append((response, size))
