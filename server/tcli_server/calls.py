"""Waiting for the one answer of a request, from a thread or from asyncio."""

import asyncio
import contextlib
import queue
from collections.abc import Callable

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


def _unwrap(response: InferenceResponse) -> InferenceResponse:
    if response.error is not None:
        raise response.error
    return response
