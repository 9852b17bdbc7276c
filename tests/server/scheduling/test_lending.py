"""Event loops and other threads bring requests while instances come and go: each request ends once, and no instance is lost."""

import asyncio
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from scheduled import Doubling, request, scheduler
from tcli_server.backends import Placement
from tcli_server.protocols.mailbox import ReplyMailbox
from tcli_server.protocols.turn import TurnEnd
from tcli_server.request import InferenceResponse
from tcli_server.scheduling import PlacedInstance, Scheduler, quickness

FIXED = """
name: "m"
input { name: "X" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }
"""
POLICIES = (
    "",
    "preserve_ordering: true",
    "preferred_batch_size: [ 2, 5 ] max_queue_delay_microseconds: 500",
    "default_queue_policy { default_timeout_microseconds: 500 timeout_action: DELAY }",
    "default_queue_policy { default_timeout_microseconds: 800 max_queue_size: 20 }",
    "priority_levels: 3 default_priority_level: 2",
)


class Exclusive(Doubling):
    """Notices if two threads use it at once, or somebody after its end; fails now and then."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(self._twice)
        self._faults = faults
        self._mine = threading.Lock()
        self._turn = itertools.count(1)

    def _twice(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        if self.closed.is_set() or not self._mine.acquire(blocking=False):
            self._faults.append("used by two, or after its end")
            return inputs["X"]
        try:
            turn = next(self._turn)
            if not turn % 3:
                time.sleep(0.0005)  # others come meanwhile
            if not turn % 50:
                raise SystemExit("now and then")
            return inputs["X"] * 2
        finally:
            self._mine.release()

    def close(self) -> None:
        if self.closed.is_set() or self._mine.locked():
            self._faults.append("closed twice, or while it ran")
        super().close()


class Callers:
    """Bring requests to one scheduler from threads and event loops, and count their ends.

    Attributes:
        accepted: numbers of the requests that the scheduler took over.
        ends: number -> how often it ended.
    """

    def __init__(self, batcher: Scheduler, faults: list[str]) -> None:
        self.accepted: list[int] = []
        self.ends: Counter[int] = Counter()
        self._batcher = batcher
        self._faults = faults
        self._numbers = itertools.count(1)

    def _ended(self, number: int, response: InferenceResponse) -> None:
        self.ends[number] += 1
        if response.error is None and response.outputs["Y"].ravel()[0] != 2 * number:
            self._faults.append(f"request {number} was answered {response.outputs['Y']}")

    def plain(self, seed: int, count: int = 60) -> None:
        """A thread of somebody's own."""
        dice = random.Random(seed)
        for _ in range(count):
            number = next(self._numbers)
            made = request(number, priority=dice.randint(0, 3))
            made.reply = lambda response, number=number: self._ended(number, response)
            if self._batcher.submit(made):
                self.accepted.append(number)
            if dice.random() < 0.2:
                made.cancel()

    def looped(self, seed: int, count: int = 120) -> None:
        """An event loop, whose answers bring the next requests, as connections do that have more to ask."""
        try:
            asyncio.run(self._looped(random.Random(seed), count))
        except TimeoutError:
            self._faults.append("a request was not answered")

    async def _looped(self, dice: random.Random, count: int) -> None:
        loop = asyncio.get_running_loop()
        turn_end, mailbox, quiet = TurnEnd(loop), ReplyMailbox(loop), asyncio.Event()
        left, under_way = count, 0

        def bring() -> None:
            nonlocal left, under_way
            if not left:
                return
            left -= 1
            quiet.clear()
            number = next(self._numbers)
            made = request(number, priority=dice.randint(0, 3))
            made.reply = lambda response: mailbox.post(lambda answer: answered(number, answer), response)
            under_way += 1
            if self._batcher.submit(made, turn_end):
                self.accepted.append(number)
                if dice.random() < 0.15:
                    made.cancel(only_waiting=dice.random() < 0.5)
            else:  # stopped
                left, under_way = 0, under_way - 1
            if not under_way:
                quiet.set()

        def answered(number: int, response: InferenceResponse) -> None:
            nonlocal under_way
            under_way -= 1
            self._ended(number, response)
            if dice.random() < 0.6:
                bring()
            if not under_way:
                quiet.set()

        while left:  # if a wake-up is lost, nobody makes up for it
            for _ in range(dice.randint(1, 4)):
                bring()
            await asyncio.wait_for(quiet.wait(), 60)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(5))
def test_each_request_ends_once_whoever_runs_it(policy: str, seed: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quickness, "QUICK_NS", 10**12)  # whatever the machine does meanwhile: callers run what they can
    dice = random.Random(seed)
    faults: list[str] = []
    instances = [Exclusive(faults) for _ in range(dice.randint(1, 3))]
    batcher = scheduler(f"max_batch_size: 8 dynamic_batching {{ {policy} }}", *instances, config=FIXED)
    placed = [worker.placed for worker in batcher._workers]
    callers = Callers(batcher, faults)
    roles = [callers.looped, callers.looped, callers.plain, callers.plain]
    threads = [threading.Thread(target=role, args=(seed * 10 + index,)) for index, role in enumerate(roles)]
    for thread in threads:
        thread.start()
    for _ in range(dice.randint(0, 6)):
        threads[0].join(dice.random() * 0.02)
        placed = [each for each in placed if dice.random() < 0.5]
        fresh = [Exclusive(faults) for _ in range(dice.randint(0 if placed else 1, 2))]
        instances += fresh
        placed += [PlacedInstance(Placement("fresh", None, 1), instance) for instance in fresh]
        batcher.resize(placed)
    if seed % 2:
        for thread in threads:
            thread.join(60)
    batcher.stop()
    assert batcher.join(60)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert faults == []
    assert [number for number in callers.accepted if callers.ends[number] != 1] == []
    assert all(instance.closed.is_set() for instance in instances)
    assert batcher.idle
