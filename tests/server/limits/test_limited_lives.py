"""Models that share resources under load while instances come and go: nothing runs that must not, nothing is lost."""

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from limited import end, limited, placed
from scheduled import Doubling, request
from tcli_server.request import InferenceResponse
from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.limits.amounts import parse_amounts
from tcli_server.scheduling.limits.rate_limiter import RateLimiter

NEEDS = ("", "R:1", "R:2", "R:2 S:1", "*G:1", "S:1 *G:2")
AMOUNTS = {"R": 2, "S": 1, "G": 2}
POLICIES = (
    "",
    "dynamic_batching { }",
    "dynamic_batching { preserve_ordering: true }",
    "dynamic_batching { preferred_batch_size: [ 2, 5 ] max_queue_delay_microseconds: 500 }",
    "dynamic_batching { default_queue_policy { default_timeout_microseconds: 800 max_queue_size: 20 } }",
)


class Holdings:
    """Notices if more runs at the same time than there is."""

    def __init__(self, faults: list[str]) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._used: Counter[str] = Counter()

    def instance(self, needs: str, dice: random.Random) -> PlacedInstance:
        wanted = {need.partition(":")[0].removeprefix("*"): int(need.partition(":")[2]) for need in needs.split()}

        def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
            with self._lock:
                self._used.update(wanted)
                self._faults += [
                    f"{name} is used {self._used[name]} times" for name in wanted if self._used[name] > AMOUNTS[name]
                ]
            try:
                if dice.random() < 0.3:
                    time.sleep(0.0003)  # others come meanwhile
                if not int(inputs["X"].ravel()[0]) % 40:
                    raise SystemExit("now and then")
                return inputs["X"] * 2
            finally:
                with self._lock:
                    self._used.subtract(wanted)

        return placed(Doubling(run), needs, dice.randint(0, 3))


class Callers:
    """Bring requests to schedulers, and count their ends."""

    def __init__(self, faults: list[str]) -> None:
        self.accepted: list[int] = []
        self.ends: Counter[int] = Counter()
        self._faults = faults
        self._lock = threading.Lock()
        self._number = 0

    def bring(self, to: Scheduler, dice: random.Random, count: int = 150) -> None:
        gate = threading.Semaphore(6)
        for _ in range(count):
            with self._lock:
                self._number += 1
                number = self._number
            made = request(number)

            def ended(response: InferenceResponse, number: int = number) -> None:
                self.ends[number] += 1
                if response.error is None and response.outputs["Y"].ravel()[0] != 2 * number:
                    self._faults.append(f"request {number} was answered {response.outputs['Y']}")
                gate.release()

            made.reply = ended
            if not gate.acquire(timeout=60):
                self._faults.append("a request was not answered")
                return
            if to.submit(made):
                self.accepted.append(number)
            else:
                gate.release()
            if dice.random() < 0.2:
                made.cancel()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_and_goes(seed: int):
    dice = random.Random(seed)
    faults: list[str] = []
    limiter = RateLimiter(parse_amounts(f"{name}:{count}" for name, count in AMOUNTS.items()))
    holdings, callers = Holdings(faults), Callers(faults)
    models: list[tuple[Scheduler, list[PlacedInstance]]] = []
    every: list[PlacedInstance] = []
    for index in range(3):
        instances = [holdings.instance(dice.choice(NEEDS), dice) for _ in range(dice.randint(1, 3))]
        more = f"max_batch_size: 8 {dice.choice(POLICIES)}"
        models.append((limited(limiter, f"m{index}", *instances, more=more), instances))
        every += instances
    threads = [
        threading.Thread(target=callers.bring, args=(scheduler, random.Random(seed * 10 + index)))
        for index, (scheduler, _) in enumerate(models * 2)
    ]
    for thread in threads:
        thread.start()
    for _ in range(dice.randint(2, 8)):
        threads[0].join(dice.random() * 0.02)
        scheduler, instances = dice.choice(models)
        instances[:] = [each for each in instances if dice.random() < 0.5]
        fresh = [holdings.instance(dice.choice(NEEDS), dice) for _ in range(dice.randint(0 if instances else 1, 2))]
        every += fresh
        instances += fresh
        scheduler.resize(instances)
    if seed % 2:
        for thread in threads:
            thread.join(120)
    else:  # one goes while the others are under load
        end(models[0][0])
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    end(*(scheduler for scheduler, _ in models))
    assert faults == []
    assert [number for number in callers.accepted if callers.ends[number] != 1] == []
    assert all(each.instance.closed.is_set() for each in every)
    assert all(scheduler.idle for scheduler, _ in models)
    assert (limiter.use(), limiter._permits, limiter._waiting) == ([], [], [])
