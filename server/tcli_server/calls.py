"""Waiting for the one answer of a request, from a thread or from asyncio."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError

from tcli_server.request import InferenceRequest, InferenceResponse

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


def _unwrap(response: InferenceResponse) -> InferenceResponse:
    if response.error is not None:
        raise response.error
    return response
