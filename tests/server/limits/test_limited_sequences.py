"""Sequences of models that share resources: each instance waits for itself, with the sequences that it has."""

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from limited import ask, end, limited, placed, used, waits
from scheduled import Answers, Doubling, finish, held, request
from tcli_server.request import InferenceRequest, InferenceResponse
from tcli_server.scheduling import PlacedInstance, Scheduler
from tcli_server.scheduling.limits.amounts import parse_amounts
from tcli_server.scheduling.limits.rate_limiter import RateLimiter
from waiting import until

HOUR = "max_sequence_idle_microseconds: 3600000000"
STRATEGIES = ("direct { }", "oldest { max_candidate_sequences: 4 }")


def sequences(
    limiter: RateLimiter | None, name: str, *instances: PlacedInstance, strategy: str = "direct { }"
) -> Scheduler:
    return limited(limiter, name, *instances, more=f"max_batch_size: 4 sequence_batching {{ {HOUR} {strategy} }}")


def step(of: Scheduler, sequence: int, answers: Answers, value: float = 1, **flags: bool) -> InferenceRequest:
    """Submit the next request of a sequence."""
    made = request(value, sequence_id=sequence, **{f"sequence_{flag}": is_set for flag, is_set in flags.items()})
    made.reply = answers
    assert of.submit(made)
    return made


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_sequences_wait_for_their_instance_and_share_its_batch(strategy: str):
    limiter = RateLimiter()
    first, own = Doubling(), Doubling()
    holder = limited(limiter, "holder", placed(first, "R:1"))
    model = sequences(limiter, "model", placed(own, "R:1"), strategy=strategy)
    held(first)
    ask(holder, 1)
    assert first.entered.acquire(timeout=60)
    answers = Answers()
    step(model, 1, answers, 1, start=True)
    waits(limiter, 1)
    step(model, 2, answers, 2, start=True)  # these came while it waited, and are in the batch all the same
    step(model, 3, answers, 3, start=True)
    step(model, 1, answers, 4, end=True)
    assert own.batches == []
    finish(first)
    answers.wait(4)
    assert own.values[0] == [1, 2, 3]
    assert own.values[1][0] == 4  # behind it may be rows that are no requests
    until(lambda: used(limiter) == {"R/cpu": 0})
    end(holder, model)
    assert limiter.use() == []


def test_a_sequence_stays_with_its_instance_though_others_have_better_scores():
    """What the last case of NVIDIA's L0_rate_limiter looks for."""
    limiter = RateLimiter()
    own, *others = (Doubling() for _ in range(4))
    places = [
        placed(own, "R:4", 9),
        placed(others[0], "R:2 *S:2", 2),
        *(placed(each, "R:2 *S:2", 1) for each in others[1:]),
    ]
    model = sequences(limiter, "model", *places)
    answers = Answers()
    for number in range(1, 10):
        step(model, 5, answers, number, start=number == 1, end=number == 9)
        answers.wait(number)
    end(model)
    assert own.values == [[number] for number in range(1, 10)]
    assert [response.outputs["Y"][0, 0] for response in answers.responses] == [2 * number for number in range(1, 10)]


def test_priority_two_gets_half_the_turns():
    limiter, order = RateLimiter(), list[str]()

    def noting(name: str) -> Doubling:
        def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
            order.append(name)
            return inputs["X"] * 2

        return Doubling(run)

    first = Doubling()
    holder = limited(limiter, "holder", placed(first, "R:1"))
    one = sequences(limiter, "one", placed(noting("a"), "R:1"))
    two = sequences(limiter, "two", placed(noting("b"), "R:1", 2))
    held(first)
    ask(holder, 1)
    assert first.entered.acquire(timeout=60)
    answers = Answers()
    for model in (one, two):
        for number in range(1, 31):
            step(model, 1, answers, number, start=number == 1, end=number == 30)
    waits(limiter, 2)
    finish(first)
    answers.wait(60)
    end(holder, one, two)
    assert order[:45] == ["a", "a", "b"] * 15


def test_a_client_that_is_gone_leaves_nobody_waiting():
    limiter = RateLimiter(parse_amounts(["R:2"]))
    first, own, small = Doubling(), Doubling(), Doubling()
    holder = limited(limiter, "holder", placed(first, "R:1"))
    model = sequences(limiter, "model", placed(own, "R:2"))
    late = limited(limiter, "late", placed(small, "R:1"))
    held(first)
    ask(holder, 1)
    assert first.entered.acquire(timeout=60)
    answers, others = Answers(), Answers()
    kept = step(model, 1, answers, start=True)
    gone = step(model, 2, answers, start=True)
    waits(limiter, 1)
    ask(late, 1, others)
    waits(limiter, 2)
    gone.cancel()
    until(lambda: model.pending == 1)
    assert len(limiter._waiting) == 2  # there is another sequence
    kept.cancel()
    others.wait(1)
    finish(first)
    end(holder, model, late)
    assert own.batches == []


def test_a_model_that_is_stopped_or_resized_while_it_waits_ends_its_sequences():
    limiter = RateLimiter()
    first, own, new = Doubling(), Doubling(), Doubling()
    holder = limited(limiter, "holder", placed(first, "R:1"))
    model = sequences(limiter, "model", placed(own, "R:1"))
    held(first)
    ask(holder, 1)
    assert first.entered.acquire(timeout=60)
    answers, others = Answers(), Answers()
    step(model, 1, answers, start=True)
    waits(limiter, 1)
    model.resize([placed(new, "S:1")])
    step(model, 2, others, start=True, end=True)
    others.wait(1)
    step(model, 1, answers, end=True)
    model.stop()
    assert not model.join(0)
    assert own.batches == []
    finish(first)
    answers.wait(2)
    end(holder, model)
    assert (len(own.batches), len(new.batches)) == (2, 1)
    assert own.closed.is_set()
    assert limiter._permits == []


@pytest.mark.parametrize("seed", range(10))
def test_whatever_comes_and_goes(seed: int):
    """Random lives: instances exclude each other, and each request ends once."""
    dice = random.Random(seed)
    faults: list[str] = []
    limiter = RateLimiter(parse_amounts(["R:2", "S:1"]))
    running: Counter[str] = Counter()
    lock = threading.Lock()

    def instance(needs: str) -> PlacedInstance:
        wanted = {name: int(count) for name, count in (need.split(":") for need in needs.split())}

        def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
            with lock:
                running.update(wanted)
                faults.extend(str(running) for name, most in (("R", 2), ("S", 1)) if running[name] > most)
            if dice.random() < 0.3:
                time.sleep(0.0003)
            with lock:
                running.subtract(wanted)
            return inputs["X"] * 2

        return placed(Doubling(run), needs, dice.randint(1, 3))

    every = [
        [instance(dice.choice(("", "R:1", "R:2", "S:1 R:1"))) for _ in range(dice.randint(1, 3))] for _ in range(2)
    ]
    models = [sequences(limiter, f"m{index}", *each, strategy=STRATEGIES[index]) for index, each in enumerate(every)]
    ends: Counter[int] = Counter()
    accepted: list[int] = []
    numbers = iter(range(1, 10**6))

    def client(model: Scheduler, mine: random.Random) -> None:
        for _ in range(15):
            sequence, length = mine.randint(1, 10**9), mine.randint(1, 5)
            for position in range(length):
                with lock:
                    number = next(numbers)
                made = request(
                    number, sequence_id=sequence, sequence_start=not position, sequence_end=position == length - 1
                )
                over = threading.Event()

                def ended(_: InferenceResponse, number: int = number, over: threading.Event = over) -> None:
                    ends[number] += 1
                    over.set()

                made.reply = ended
                if not model.submit(made):
                    return
                accepted.append(number)
                if mine.random() < 0.15:
                    made.cancel()
                if not over.wait(60):
                    faults.append(f"request {number} was not answered")
                    return
                if made.step is None and mine.random() < 0.15:
                    model.abandon(sequence)
                    break
                if ends[number] and sequence not in model._runs and position < length - 1:
                    break  # it was cancelled while it waited or ran, and the sequence with it

    def tolerant(model: Scheduler, mine: random.Random) -> None:
        try:
            client(model, mine)
        except Exception as error:
            if "START" not in str(error):  # the sequence ended between the look and the next request
                faults.append(repr(error))

    threads = [
        threading.Thread(target=tolerant, args=(models[index % 2], random.Random(seed * 100 + index)))
        for index in range(12)
    ]
    for thread in threads:
        thread.start()
    for _ in range(dice.randint(0, 4)):
        threads[0].join(dice.random() * 0.01)
        index = dice.randint(0, 1)
        kept = [each for each in every[index] if dice.random() < 0.5]
        every[index] = [
            *kept,
            *(instance(dice.choice(("", "R:1", "R:2"))) for _ in range(dice.randint(0 if kept else 1, 2))),
        ]
        models[index].resize(every[index])
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    end(*models)
    assert faults == []
    assert [number for number in accepted if ends[number] != 1] == []
    assert (limiter._permits, limiter._waiting) == ([], [])
