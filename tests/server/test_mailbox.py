"""From other threads into the loop: in order, all of them, and with one waking for many."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tcli_server.protocols.mailbox import ReplyMailbox


def test_one_post_that_raises_strands_no_other(caplog: pytest.LogCaptureFixture):
    async def post() -> list[int]:
        mailbox, got, done = ReplyMailbox(asyncio.get_running_loop()), [], asyncio.Event()

        def post_all() -> None:
            mailbox.post(got.append, 1)
            mailbox.post(lambda _: 1 / 0, None)
            mailbox.post(got.append, 2)
            mailbox.post(lambda _: done.set(), None)

        post_all()
        assert got == [1, 2]  # it is the loop's thread already
        done.clear()
        await asyncio.to_thread(post_all)
        await asyncio.wait_for(done.wait(), 30)
        return got

    assert asyncio.run(post()) == [1, 2, 1, 2]
    assert len([record for record in caplog.records if record.exc_info]) == 2


def test_a_post_in_the_loops_thread_overtakes_none_of_another_thread():
    """Where a model keeps the order, a batch that a worker ran may be answered but not yet posted when the next is."""

    async def post() -> list[int]:
        mailbox, got, done = ReplyMailbox(asyncio.get_running_loop()), [], asyncio.Event()
        worker = threading.Thread(target=lambda: [mailbox.post(got.append, number) for number in range(3)])
        worker.start()
        worker.join()
        mailbox.post(got.append, 3)
        mailbox.post(lambda _: done.set(), None)
        await asyncio.wait_for(done.wait(), 30)
        return got

    assert asyncio.run(post()) == [0, 1, 2, 3]


def test_posts_to_a_closed_loop_do_not_pile_up():
    loop = asyncio.new_event_loop()
    mailbox, heard = ReplyMailbox(loop), []
    loop.close()
    with ThreadPoolExecutor(1) as worker:
        for number in range(3):
            worker.submit(mailbox.post, heard.append, number).result()
    assert (heard, len(mailbox._posts)) == ([], 0)


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often other threads woke it."""

    woken = 0

    def call_soon_threadsafe(self, *args, **more) -> asyncio.Handle:
        self.woken += 1
        return super().call_soon_threadsafe(*args, **more)


def test_posts_between_two_turns_of_the_loop_share_one_waking():
    loop, got = CountingLoop(), []

    async def two_rounds() -> None:
        mailbox = ReplyMailbox(loop)
        with ThreadPoolExecutor(1) as worker:
            for first in (0, 10):
                for number in range(first, first + 10):  # the loop stands still meanwhile
                    worker.submit(mailbox.post, got.append, number).result()
                arrived = asyncio.Event()
                loop.call_soon(arrived.set)
                await arrived.wait()
                await asyncio.sleep(0)

    try:
        loop.run_until_complete(asyncio.wait_for(two_rounds(), 30))
    finally:
        loop.close()
    assert got == list(range(20))
    assert loop.woken == 2
