"""Asking in Python: a request, and waiting for its answer, or for one response after the other, in a thread or a loop."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import TypedDict

import numpy as np

from tcli_server.request import InferenceRequest, InferenceResponse, Parameter
from tcli_server.window import ResponseWindow

Submit = Callable[[InferenceRequest], None]


class InferOptions(TypedDict, total=False):
    """What an inference may be asked with beside its inputs, as `Engine.infer` explains."""

    outputs: Sequence[str]
    model_version: str
    request_id: str
    parameters: Mapping[str, Parameter] | None
    priority: int
    timeout_us: int
    sequence_id: int | str
    sequence_start: bool
    sequence_end: bool


def request_for(model_name: str, inputs: Mapping[str, np.ndarray], options: InferOptions) -> InferenceRequest:
    """A request as `Engine.infer` takes it, still without its `reply`."""
    return InferenceRequest(
        model_name,
        {name: np.asarray(array) for name, array in inputs.items()},
        tuple(options.get("outputs", ())),
        options.get("model_version", ""),
        options.get("request_id", ""),
        dict(options.get("parameters") or {}),
        priority=options.get("priority", 0),
        timeout_us=options.get("timeout_us", 0),
        sequence_id=options.get("sequence_id", 0),
        sequence_start=options.get("sequence_start", False),
        sequence_end=options.get("sequence_end", False),
    )


def call(submit: Submit, request: InferenceRequest) -> InferenceResponse:
    """Submit a request and wait; a caller who is interrupted cancels it.

    Raises:
        ServerError: the request's error.
    """
    answers: queue.SimpleQueue[InferenceResponse] = queue.SimpleQueue()
    request.reply = answers.put
    try:
        submit(request)
        return _unwrap(answers.get())
    except BaseException:
        request.cancel()
        raise


async def call_async(submit: Submit, request: InferenceRequest) -> InferenceResponse:
    """Submit a request and wait in the running loop; whoever is cancelled cancels it.

    Raises:
        ServerError: the request's error.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[InferenceResponse] = loop.create_future()

    def resolve(response: InferenceResponse) -> None:
        if not answer.done():  # the caller may have given up
            answer.set_result(response)

    def reply(response: InferenceResponse) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(resolve, response)

    request.reply = reply
    try:
        submit(request)
        return _unwrap(await answer)
    except BaseException:
        request.cancel()
        raise


def settled(answer: bool) -> "Future[bool]":
    """A future that has its answer."""
    future: Future[bool] = Future()
    future.set_result(answer)
    return future


def all_true(answers: "Sequence[Future[bool]]") -> "Future[bool]":
    """Whether all come true; done as soon as that is sure."""
    result: Future[bool] = Future()
    left = len(answers)
    lock = threading.Lock()

    def heard(answer: "Future[bool]") -> None:
        nonlocal left
        with lock:
            left -= 1
            is_last = not left
        if is_last or not answer.result():
            with contextlib.suppress(InvalidStateError):  # another one was false
                result.set_result(answer.result())

    for answer in answers:
        answer.add_done_callback(heard)
    return result


def stream(submit: Submit, request: InferenceRequest) -> Generator[InferenceResponse, None, None]:
    """Submit a request and give its responses as they come; the model waits for a caller who takes them slowly.

    Nothing is submitted before the first is asked for. Whoever leaves early cancels the request.

    Raises:
        ServerError: the request's error, or one that a decoupled model gave as a response.
    """
    responses: queue.SimpleQueue[InferenceResponse] = queue.SimpleQueue()
    window = _take_many(request)

    def reply(response: InferenceResponse) -> None:
        window.add(response.size)
        responses.put(response)

    request.reply = reply
    try:
        submit(request)
        while True:
            response = _unwrap(responses.get())
            if not response.empty:
                yield response
            if response.final:
                return
            window.take(response.size)
    finally:
        request.cancel()


async def stream_async(submit: Submit, request: InferenceRequest) -> AsyncGenerator[InferenceResponse, None]:
    """Like `stream`, in the running loop. Closing the iterator, or cancelling who waits for it, cancels the request."""
    loop = asyncio.get_running_loop()
    responses: asyncio.Queue[InferenceResponse] = asyncio.Queue()
    window = _take_many(request)

    def reply(response: InferenceResponse) -> None:
        window.add(response.size)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(responses.put_nowait, response)

    request.reply = reply
    try:
        submit(request)
        while True:
            response = _unwrap(await responses.get())
            if not response.empty:
                yield response
            if response.final:
                return
            window.take(response.size)
    finally:
        request.cancel()


def _take_many(request: InferenceRequest) -> ResponseWindow:
    request.takes_many, request.window = True, ResponseWindow()
    return request.window


def _unwrap(response: InferenceResponse) -> InferenceResponse:
    if response.error is not None:
        raise response.error
    return response
