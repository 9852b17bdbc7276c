"""Waiting for the answer of a request, or for one response after the other, from a thread or from asyncio."""

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Callable, Iterator

from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.window import ResponseWindow

Submit = Callable[[InferenceRequest], None]


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


def stream(submit: Submit, request: InferenceRequest) -> Iterator[InferenceResponse]:
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


async def stream_async(submit: Submit, request: InferenceRequest) -> AsyncIterator[InferenceResponse]:
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
