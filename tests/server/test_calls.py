"""Waiting for a request's answer: whoever gives up cancels it."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable

import numpy as np
import pytest

from tcli_server.calls import call, call_async, stream, stream_async
from tcli_server.errors import ErrorKind, InternalError, ServerError
from tcli_server.request import InferenceRequest, InferenceResponse
from waiting import until

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


def response(number: int, length: int = 4) -> InferenceResponse:
    return InferenceResponse("m", "1", str(number), {"OUT": np.full(length, number, np.int32)})


def answering(*numbers: int) -> Callable[[InferenceRequest], None]:
    """Gives so many responses and an end, from another thread."""

    def answer(made: InferenceRequest) -> None:
        for number in numbers:
            made.send(response(number), final=False)
        made.finish()

    return lambda made: threading.Thread(target=answer, args=(made,)).start()


def flooding(count: int, sent: list[int]) -> Callable[[InferenceRequest], None]:
    """Gives large responses as far as there is room."""

    def flood(made: InferenceRequest) -> None:
        if len(sent) < count and not made.ended:
            sent.append(len(sent))
            made.send(response(sent[-1], 100_000), final=len(sent) == count)
            made.when_room(lambda: threading.Thread(target=flood, args=(made,)).start())

    return flood


def test_responses_come_one_by_one():
    request = InferenceRequest("m", {})
    assert [each.id for each in stream(answering(1, 2, 3), request)] == ["1", "2", "3"]
    assert request.takes_many
    assert request.ended
    assert list(stream(answering(), InferenceRequest("m", {}))) == []
    assert list(stream(lambda made: made.send(ANSWER), InferenceRequest("m", {}))) == [ANSWER]


def test_an_error_comes_behind_the_responses_before_it():
    def fail(made: InferenceRequest) -> None:
        made.send(response(1), final=False)
        made.fail(InternalError("broken"))

    responses = stream(fail, InferenceRequest("m", {}))
    assert next(responses).id == "1"
    with pytest.raises(InternalError, match="broken"):
        next(responses)


def test_an_error_that_is_not_the_last_response_ends_the_request_too():
    request = InferenceRequest("m", {})
    wrong = InferenceResponse("m", "1", error=InternalError("a bad word"))
    with pytest.raises(InternalError, match="a bad word"):
        list(stream(lambda made: made.send(wrong, final=False), request))
    assert request.ended


def test_whoever_leaves_the_loop_early_cancels():
    request = InferenceRequest("m", {})
    for each in stream(lambda made: made.send(response(1), final=False), request):
        assert each.id == "1"
        break
    assert request.ended


def test_the_model_waits_for_a_slow_caller():
    sent: list[int] = []
    responses = stream(flooding(100, sent), InferenceRequest("m", {}))
    next(responses)
    until(lambda: len(sent) == 3)  # 400 KB each, for a window of 1 MiB
    assert [int(each.id) for each in responses] == list(range(1, 100))
    assert len(sent) == 100


def test_responses_come_one_by_one_in_a_loop():
    async def ask() -> None:
        sent: list[int] = []
        assert [each.id async for each in stream_async(answering(1, 2, 3), InferenceRequest("m", {}))] == [
            "1",
            "2",
            "3",
        ]
        assert [each.id async for each in stream_async(answering(), InferenceRequest("m", {}))] == []
        slow = stream_async(flooding(100, sent), InferenceRequest("m", {}))
        assert (await anext(slow)).id == "0"
        await asyncio.to_thread(until, lambda: len(sent) == 3)
        assert [int(each.id) async for each in slow] == list(range(1, 100))
        with pytest.raises(InternalError, match="broken"):
            await anext(stream_async(lambda made: made.fail(InternalError("broken")), InferenceRequest("m", {})))

    asyncio.run(ask())


def test_whoever_leaves_the_loop_early_in_a_loop_cancels():
    async def ask() -> None:
        closed, left, waited = (InferenceRequest("m", {}) for _ in range(3))
        async with contextlib.aclosing(stream_async(answering(1, 2), closed)) as responses:
            async for _ in responses:
                break
        assert closed.ended
        async for _ in stream_async(lambda made: made.send(response(1), final=False), left):
            break
        while not left.ended:  # asyncio closes it soon
            await asyncio.sleep(0)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(stream_async(lambda _: None, waited)), 0.01)
        assert waited.ended

    asyncio.run(ask())
