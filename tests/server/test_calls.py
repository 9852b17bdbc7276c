"""Waiting for a request's answer: whoever gives up cancels it."""

import asyncio
import signal
import threading

import pytest

from tcli_server.calls import call, call_async
from tcli_server.errors import ErrorKind, InternalError, ServerError
from tcli_server.request import InferenceRequest, InferenceResponse

ANSWER = InferenceResponse("m", "1", "answer")


def test_the_answer_or_the_error():
    assert call(lambda made: made.send(ANSWER), InferenceRequest("m", {})) is ANSWER
    with pytest.raises(InternalError, match="broken"):
        call(lambda made: made.fail(InternalError("broken")), InferenceRequest("m", {}))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to a thread here")
def test_a_caller_who_is_interrupted_cancels():
    """Whenever the interruption comes, while the request is handed over or while its answer is waited for."""
    main = threading.get_ident()

    def interrupt(_: InferenceRequest) -> None:
        signal.pthread_kill(main, signal.SIGINT)

    def interrupt_soon(_: InferenceRequest) -> None:
        threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()

    for submit in (interrupt, interrupt_soon):
        request = InferenceRequest("m", {})
        with pytest.raises(KeyboardInterrupt):
            call(submit, request)
        assert request.ended


def test_the_answer_or_the_error_in_a_loop():
    async def ask() -> None:
        def from_a_thread(made: InferenceRequest) -> None:
            threading.Thread(target=made.send, args=(ANSWER,)).start()

        assert await call_async(from_a_thread, InferenceRequest("m", {})) is ANSWER
        with pytest.raises(InternalError, match="broken"):
            await call_async(lambda made: made.fail(InternalError("broken")), InferenceRequest("m", {}))

    asyncio.run(ask())


def test_whoever_stops_waiting_in_a_loop_cancels():
    async def ask() -> InferenceRequest:
        request = InferenceRequest("m", {})
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(call_async(lambda _: None, request), 0.01)
        assert request.ended
        await asyncio.sleep(0)  # the cancelled request's answer comes to a future that is done, and nothing is raised
        return request

    problems: list[dict] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        await ask()
        await asyncio.sleep(0.01)

    asyncio.run(watched())
    assert problems == []


def test_an_answer_after_the_loop_is_closed_harms_nobody():
    made = InferenceRequest("m", {})

    async def leave() -> None:
        waiting = asyncio.create_task(call_async(lambda _: None, made))
        await asyncio.sleep(0)
        reply = made.reply
        waiting.cancel()
        made.reply = lambda _: None
        replies.append(reply)

    replies: list = []
    asyncio.run(leave())
    replies[0](ANSWER)


def test_errors_keep_their_kind():
    with pytest.raises(ServerError) as caught:
        call(lambda made: made.cancel(), InferenceRequest("m", {}))
    assert caught.value.kind is ErrorKind.CANCELLED
