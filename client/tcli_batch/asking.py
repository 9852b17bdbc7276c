"""Asks a model about blocks of rows: several requests under way, answers in order, no row at another one's cost."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np

from tcli_batch.block import Answers, Block, Refusal
from tcli_batch.signature import Signature
from tcli_client import (
    Answer,
    AnswerError,
    Inference,
    RequestTimeoutError,
    Transport,
    UnavailableError,
    WrongProtocolError,
)
from tcli_client.tensors import Array
from tcli_client.transport import Output

_BYTES_UNDER_WAY = 64 << 20
_WAITS_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 10, 10, 10)
"""How long to wait for a server that has no room before each new try."""


class Asker(Protocol):
    """Sends requests."""

    def ask(self, inference: Inference) -> "Future[Answer]":
        """Begin an inference; the future's error is what `Transport.infer` raises."""


class WireAsker:
    """Over a transport that waits for each answer, in threads."""

    def __init__(self, server: Transport, requests: int) -> None:
        self._server = server
        self._pool = ThreadPoolExecutor(requests, thread_name_prefix="ask")

    def ask(self, inference: Inference) -> "Future[Answer]":
        return self._pool.submit(self._server.infer, inference)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


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


@dataclass(eq=False)
class _Asked:
    """A block under way: the requests for its batches in order."""

    block: Block
    requests: "list[tuple[dict[str, Array], Future[Answer]]]"

    @property
    def nbytes(self) -> int:
        return self.block.nbytes


class Asking:
    """What asks one model.

    Args:
        requests: under way at a time.
    """

    def __init__(self, server: Transport, signature: Signature, requests: int, outputs: tuple[str, ...] = ()) -> None:
        self._asker = DirectAsker(server) if isinstance(server, Begins) else WireAsker(server, requests)
        self._signature = signature
        self._outputs = tuple(Output(name) for name in outputs)
        self._requests = requests

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asker.close()

    def answers(self, blocks: Iterator[Block]) -> Iterator[Answers]:
        """What comes of each block, in order.

        Raises:
            ServerUnreachableError: the server is gone.
            UnavailableError: it had no room for a minute.
        """
        waiting: deque[_Asked] = deque()
        running: deque[Future[Answer]] = deque()
        for block in blocks:
            asked = _Asked(block, [])
            waiting.append(asked)
            for batch in block.batches(self._signature.max_rows):
                self._make_room(running)
                running.append(self._asker.ask(self._inference(batch)))
                asked.requests.append((batch, running[-1]))
            while len(waiting) > 1 and (
                len(waiting) > self._requests
                or sum(each.nbytes for each in waiting) > _BYTES_UNDER_WAY
                or all(future.done() for _, future in waiting[0].requests)
            ):
                yield self._collected(waiting.popleft())
        while waiting:
            yield self._collected(waiting.popleft())

    def _make_room(self, running: "deque[Future[Answer]]") -> None:
        """Wait until fewer requests are under way than may be; the oldest is waited for."""
        while running and running[0].done():
            running.popleft()
        if len(running) >= self._requests:
            running.popleft().exception()

    def _inference(self, batch: dict[str, Array]) -> Inference:
        if not self._signature.batched:
            batch = {name: array[0] for name, array in batch.items()}
        return Inference(self._signature.model, batch, self._outputs, self._signature.version)

    def _collected(self, asked: _Asked) -> Answers:
        block = asked.block
        refusals = list(block.refusals)
        kept: list[int] = []
        parts: list[dict[str, Array]] = []
        place = 0
        for batch, future in asked.requests:
            rows = len(next(iter(batch.values())))
            for first, count, result in self._settled(batch, future, rows):
                if isinstance(result, str):
                    row = place + first
                    refusals.append(Refusal(block.sources[row], int(block.indices[row]), result))
                else:
                    kept += range(place + first, place + first + count)
                    parts.append(result)
            place += rows
        return Answers(
            [block.sources[row] for row in kept],
            block.indices[kept] if kept else np.empty(0, np.int64),
            {name: _joined([part[name] for part in parts]) for name in (parts[0] if parts else ())},
            refusals,
            block.after,
        )

    def _settled(
        self, batch: dict[str, Array], future: "Future[Answer]", rows: int
    ) -> Iterator[tuple[int, int, "dict[str, Array] | str"]]:
        """(first row, rows, their outputs or why there are none) of a request, as many of these as it takes."""
        try:
            yield 0, rows, self._outputs_of(self._answer(batch, future), rows)
            return
        except (AnswerError, RequestTimeoutError, WrongProtocolError) as problem:
            if isinstance(problem, UnavailableError):
                raise
            if rows == 1:
                yield 0, 1, str(problem)
                return
        alone = [{name: array[row : row + 1] for name, array in batch.items()} for row in range(rows)]
        for row, one in enumerate(alone):
            for _, _, result in self._settled(one, self._asker.ask(self._inference(one)), 1):
                yield row, 1, result

    def _answer(self, batch: dict[str, Array], future: "Future[Answer]") -> Answer:
        for seconds in _WAITS_SECONDS:
            try:
                return future.result()
            except UnavailableError:
                time.sleep(seconds)
                future = self._asker.ask(self._inference(batch))
        return future.result()

    def _outputs_of(self, answer: Answer, rows: int) -> dict[str, Array]:
        if not self._signature.batched:
            return {name: array[np.newaxis] for name, array in answer.outputs.items()}
        for name, array in answer.outputs.items():
            if array.ndim == 0 or len(array) != rows:
                raise WrongProtocolError(
                    f"output '{name}' has shape {list(array.shape)} for {rows} rows: they cannot be told apart"
                )
        return answer.outputs


def _joined(parts: list[Array]) -> "Array | list[Array]":
    if len(parts) == 1:
        return parts[0]
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    return [row for part in parts for row in part]
