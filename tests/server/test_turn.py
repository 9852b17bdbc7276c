"""What is put off to the end of an event loop's turn, and what is not."""

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tcli_server.protocols import turn
from tcli_server.protocols.turn import TurnEnd

APART_NS, TOGETHER_NS = 1_000_000, 1_000


class Clock:
    """The time between requests, however slow the machine is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 10**15
        monkeypatch.setattr(turn, "time", SimpleNamespace(monotonic_ns=lambda: self.now_ns))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_requests_that_come_one_at_a_time_do_not_wait(clock: Clock):
    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []
        for number in range(3):
            clock.now_ns += APART_NS
            turn_end.call(lambda number=number: called.append(number))
            assert called[-1] == number

    asyncio.run(check())


def test_those_that_come_together_wait_for_the_end_and_each_is_called_once(clock: Clock):
    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []

        def first() -> None:
            called.append("first")

        def other() -> None:
            called.append("other")

        for callback in (first, other, other, first):
            clock.now_ns += TOGETHER_NS
            turn_end.call(callback)
        assert called == ["first"]
        await asyncio.sleep(0)
        assert called == ["first", "other", "first"]
        called.clear()
        clock.now_ns += APART_NS
        turn_end.call(other)  # the turn before had several, so this one may have, too
        assert called == []
        await asyncio.sleep(0)
        assert called == ["other"]
        clock.now_ns += APART_NS
        turn_end.call(first)
        assert called == ["other", "first"]

    asyncio.run(check())


def test_those_of_one_turn_share_three_milliseconds(clock: Clock):
    """Each of thousands of connections that have a request would else hold up all that come behind."""

    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []

        def runs(name: str) -> Callable[[], None]:
            def run() -> None:
                clock.now_ns += 300_000
                called.append(name)

            return run

        for number in range(50):
            turn_end.call(runs(f"at once {number}"))
        assert 1 <= len(called) <= 12
        turns = 0
        while len(called) < 50 and turns < 50:
            before = len(called)
            await asyncio.sleep(0)
            turns += 1
            assert len(called) - before <= 12
        assert sorted(called) == sorted(f"at once {number}" for number in range(50))
        assert turns <= 10

    asyncio.run(check())


def test_a_turn_has_its_time_whatever_those_before_took(clock: Clock):
    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []

        def run() -> None:
            clock.now_ns += 200_000
            called.append(clock.now_ns)

        for _ in range(20):
            for _ in range(8):
                turn_end.call(run)
            await asyncio.sleep(0)
        assert len(called) == 160

    asyncio.run(check())


def test_two_in_one_turn_are_several(clock: Clock):
    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []
        for name in ("alone", "second", "third"):
            clock.now_ns += TOGETHER_NS
            turn_end.call(lambda name=name: called.append(name))
        assert called == ["alone"]
        await asyncio.sleep(0)
        clock.now_ns += APART_NS
        turn_end.call(lambda: called.append("next"))
        assert called == ["alone", "second", "third"]
        await asyncio.sleep(0)
        clock.now_ns += APART_NS
        turn_end.call(lambda: called.append("last"))
        assert called == ["alone", "second", "third", "next", "last"]

    asyncio.run(check())


def test_one_that_raises_does_not_strand_the_others(clock: Clock, caplog: pytest.LogCaptureFixture):
    async def check() -> None:
        turn_end, called = TurnEnd(asyncio.get_running_loop()), []
        for callback in (lambda: None, lambda: 1 / 0, lambda: called.append("other")):
            clock.now_ns += TOGETHER_NS
            turn_end.call(callback)
        await asyncio.sleep(0)
        assert called == ["other"]

    with caplog.at_level(logging.ERROR):
        asyncio.run(check())
    assert "ZeroDivisionError" in caplog.text
