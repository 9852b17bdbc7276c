"""What is put off to the end of an event loop's turn, and what is not."""

import asyncio

from tcli_server.protocols.turn import TurnEnd


def test_requests_that_come_one_at_a_time_do_not_wait():
    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []
        for number in range(3):
            turn_end(lambda number=number: called.append(number))
            assert called[-1] == number
            await asyncio.sleep(0)

    asyncio.run(check())


def test_behind_a_turn_of_several_all_wait_for_the_end_and_each_is_called_once():
    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []

        def first() -> None:
            called.append("first")

        def other() -> None:
            called.append("other")

        for callback in (first, other, other, first):
            turn_end(callback)
        assert called == ["first"]
        await asyncio.sleep(0)
        assert called == ["first", "other", "first"]
        called.clear()
        turn_end(other)  # the turn before had several, so this one may have, too
        assert called == []
        await asyncio.sleep(0)
        assert called == ["other"]
        turn_end(first)
        assert called == ["other", "first"]

    asyncio.run(check())
