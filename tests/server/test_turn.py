"""What is put off to the end of an event loop's turn."""

import asyncio
import logging

import pytest

from tcli_server.protocols.turn import TurnEnd


def test_what_comes_in_one_turn_is_called_once_at_its_end():
    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []

        def first() -> None:
            called.append("first")

        def other() -> None:
            called.append("other")

        for callback in (first, other, other, first):
            turn_end(callback)
        assert called == []
        await asyncio.sleep(0)
        assert called == ["first", "other"]
        turn_end(other)
        await asyncio.sleep(0)
        assert called == ["first", "other", "other"]

    asyncio.run(check())


def test_what_is_put_off_meanwhile_has_a_turn_of_its_own():
    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []

        def again() -> None:
            called.append("again")
            if len(called) < 3:
                turn_end(again)

        turn_end(again)
        for _ in range(3):
            await asyncio.sleep(0)
        assert called == ["again"] * 3

    asyncio.run(check())


def test_one_that_raises_does_not_strand_the_others(caplog: pytest.LogCaptureFixture):
    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []
        turn_end(lambda: 1 / 0)
        turn_end(lambda: called.append("other"))
        await asyncio.sleep(0)
        assert called == ["other"]

    with caplog.at_level(logging.ERROR):
        asyncio.run(check())
    assert "ZeroDivisionError" in caplog.text
