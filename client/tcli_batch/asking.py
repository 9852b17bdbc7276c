"""Asks a model about blocks of rows: several requests under way, answers in order, no row at another one's cost."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np

from tcli_batch.block import Answers, Block
from tcli_batch.errors import StoppedError
from tcli_batch.gathering import Gathered
from tcli_batch.signature import Signature
from tcli_client import (
    Answer,
    AnswerError,
    ClientError,
    Inference,
    NotFoundError,
    RequestTimeoutError,
    Transport,
    UnavailableError,
    WrongProtocolError,
)
from tcli_client.tensors import Array

_WAITS_SECONDS = (0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 10, 10, 10)
"""How long to wait for a server that has no room before each new try."""

_MOST_LOST = 3
"""Rows that follow each other and have no answer at all, each asked about alone: then it is the server and not the rows."""

_LOOK_SECONDS = 0.1
"""How often a wait is looked at, to see whether it is to stop."""


class Asker(Protocol):
    """Sends requests."""

    def ask(self, inference: Inference) -> "Future[Answer]":
        """Begin an inference; the future's error is what `Transport.infer` raises."""

    def close(self) -> None:
        """Begin nothing more, and wait for nothing."""


class WireAsker:
    """Over a transport that waits for each answer, in threads; a process does not wait for them at its end."""

    def __init__(self, server: Transport, requests: int) -> None:
        self._server = server
        self._asked: queue.SimpleQueue[tuple[Inference, Future[Answer]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name="ask", daemon=True) for _ in range(requests)]
        for thread in self._threads:
            thread.start()

    def ask(self, inference: Inference) -> "Future[Answer]":
        answer: Future[Answer] = Future()
        self._asked.put((inference, answer))
        return answer

    def close(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._asked.get_nowait()
        for _ in self._threads:
            self._asked.put(None)

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            inference, answer = asked
            try:
                answer.set_result(self._server.infer(inference))
            except BaseException as problem:
                answer.set_exception(problem)


@runtime_checkable
class Begins(Protocol):
    """A transport that need not wait for an answer, as `LocalTransport`."""

    def begin(self, inference: Inference) -> "Future[Answer]":
        """As `Transport.infer`; its errors are the future's."""


class DirectAsker:
    """Over a transport that does not wait, without a thread for each request."""

    def __init__(self, server: Begins) -> None:
        self.ask: Callable[[Inference], Future[Answer]] = server.begin

    def close(self) -> None:
        """Nothing is held."""


class _MisshapenError(Exception):
    """An answer from which nobody can tell which row has what."""


@dataclass(eq=False)
class _Request:
    """Some rows of a block, asked about; a block without rows is one without an answer to come."""

    block: Block
    first: int
    last: int
    answer: "Future[Answer] | None"


class Asking:
    """What asks one model.

    Args:
        requests: under way at a time.
        stop: set from another thread or a signal's handler, ends every wait soon.
    """

    def __init__(
        self, server: Transport, signature: Signature, requests: int, stop: threading.Event | None = None
    ) -> None:
        self._asker: Asker = DirectAsker(server) if isinstance(server, Begins) else WireAsker(server, max(1, requests))
        self._signature = signature
        self._requests = max(1, requests)
        self._stop = stop or threading.Event()
        self._lost = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asker.close()

    def ask(self, inference: Inference) -> Answer:
        """One inference, with patience for a server that has no room.

        Raises:
            StoppedError: `stop` was set.
            ClientError: as `Transport.infer`.
        """
        return self._answered(inference, self._asker.ask(inference))

    def answers(self, blocks: Iterator[Block]) -> Iterator[Answers]:
        """What comes of all rows, in order. What was answered is given before anything is raised.

        Memory holds the block that is asked about, the answers of so many requests as are under way, and what was
        gathered of them, some 8 MB.

        Raises:
            StoppedError: `stop` was set.
            ServerUnreachableError, NotFoundError: the server or the model is gone.
            UnavailableError: the server had no room for a minute.
            RequestTimeoutError, WrongProtocolError: no answer, or none that could be read, to several rows one after the other.
        """
        asked: deque[_Request] = deque()
        gathered = Gathered()
        for block in blocks:
            for request in self._split(block):
                while len(asked) >= self._requests:
                    yield from self._collected(asked.popleft(), gathered)
                if request.last > request.first:
                    request.answer = self._asker.ask(self._inference(request.block, request.first, request.last))
                asked.append(request)
                while asked and (asked[0].answer is None or asked[0].answer.done()):
                    yield from self._collected(asked.popleft(), gathered)
        while asked:
            yield from self._collected(asked.popleft(), gathered)
        if gathered:
            yield gathered.take()

    def _split(self, block: Block) -> Iterator[_Request]:
        rows = self._signature.max_rows
        if not len(block):
            yield _Request(block, 0, 0, None)
        for first in range(0, len(block), rows):
            yield _Request(block, first, min(first + rows, len(block)), None)

    def _inference(self, block: Block, first: int, last: int) -> Inference:
        batch = block.rows(first, last)
        if not self._signature.batched:
            batch = {name: array[0] for name, array in batch.items()}
        return Inference(self._signature.model, batch, (), self._signature.version)

    def _collected(self, request: _Request, gathered: Gathered) -> Iterator[Answers]:
        """Gather what came of a request; gives what was gathered before wherever it is time to."""
        block = request.block
        if request.answer is None:
            gathered.refuse(block, 0, 0, "")
            if gathered.is_due:  # where all is refused, too, memory is bounded and the job can be stopped
                yield gathered.take()
            return
        try:
            if gathered and not self._waited(request.answer, gathered.seconds_left):
                yield gathered.take()
            settled = list(self._settled(block, request.first, request.last, request.answer))
        except (ClientError, StoppedError):
            if gathered:
                yield gathered.take()
            raise
        for first, last, result in settled:
            if isinstance(result, str):
                gathered.refuse(block, first, last, result)
                if gathered.is_due:
                    yield gathered.take()
                continue
            if not gathered.goes_with(result) or gathered.seconds_left < 0:
                yield gathered.take()
            gathered.add(block, first, last, result)

    def _settled(
        self, block: Block, first: int, last: int, answer: "Future[Answer]"
    ) -> Iterator[tuple[int, int, "dict[str, Array] | str"]]:
        """(first row, after the last, their outputs or why there are none) of a request, as many of these as it takes."""
        try:
            outputs = self._outputs_of(self._answered(self._inference(block, first, last), answer), last - first)
        except (UnavailableError, NotFoundError):
            raise
        except (AnswerError, RequestTimeoutError, WrongProtocolError, _MisshapenError) as problem:
            if last - first == 1:
                lost = isinstance(problem, (RequestTimeoutError, WrongProtocolError))
                self._lost = self._lost + 1 if lost else 0
                if self._lost >= _MOST_LOST:
                    raise
                yield first, last, str(problem)
                return
        else:
            self._lost = 0
            yield first, last, outputs
            return
        middle = (first + last) // 2
        halves = [(first, middle), (middle, last)]
        asked = [self._asker.ask(self._inference(block, *half)) for half in halves]
        for half, begun in zip(halves, asked, strict=True):
            yield from self._settled(block, *half, begun)

    def _answered(self, inference: Inference, answer: "Future[Answer]") -> Answer:
        for seconds in _WAITS_SECONDS:
            self._waited(answer)
            try:
                return answer.result()
            except UnavailableError:
                if self._stop.wait(seconds):
                    raise StoppedError from None
                answer = self._asker.ask(inference)
        self._waited(answer)
        return answer.result()

    def _waited(self, answer: "Future[Answer]", seconds: float = float("inf")) -> bool:
        """Wait for an answer, so long at most; whether it is there."""
        end = time.monotonic() + seconds
        while not answer.done():
            if self._stop.is_set():
                raise StoppedError
            left = end - time.monotonic()
            if left <= 0:
                return False
            with suppress(TimeoutError):
                answer.exception(timeout=min(_LOOK_SECONDS, left))
        return True

    def _outputs_of(self, answer: Answer, rows: int) -> dict[str, Array]:
        if not self._signature.batched:
            return {name: array[np.newaxis] for name, array in answer.outputs.items()}
        for name, array in answer.outputs.items():
            if array.ndim == 0 or len(array) != rows:
                raise _MisshapenError(
                    f"output '{name}' has shape {list(array.shape)} for {rows} rows: they cannot be told apart"
                )
        return answer.outputs
