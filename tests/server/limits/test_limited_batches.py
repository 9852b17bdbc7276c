"""Batches of models that share resources: where they wait, when they are formed, and what waits no longer."""

import threading
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from limited import Turns, ask, end, limited, placed, used, waits
from scheduled import CONFIG, Answers, Doubling, finish, held, request
from tcli_server.errors import InvalidArgumentError
from tcli_server.scheduling import quickness
from tcli_server.scheduling.limits.amounts import parse_amounts
from tcli_server.scheduling.limits.rate_limiter import RateLimiter
from waiting import until

DYNAMIC = "max_batch_size: 8 dynamic_batching { }"
KINDS = ("max_batch_size: 8", DYNAMIC)


@pytest.mark.parametrize("more", KINDS)
def test_two_models_that_need_the_same_never_run_together(more: str):
    limiter, turns = RateLimiter(), Turns()
    a, b = turns.instance("a"), turns.instance("b")
    one = limited(limiter, "one", placed(a, "R:1"), more=more)
    two = limited(limiter, "two", placed(b, "R:1"), more=more)
    held(a, b)
    answers = Answers()
    ask(one, 1, answers)
    assert a.entered.acquire(timeout=60)
    ask(two, 1, answers)
    waits(limiter, 1)
    assert used(limiter) == {"R/cpu": 1}
    assert b.batches == []
    assert two.pending == 1
    finish(a)
    assert b.entered.acquire(timeout=60)
    ask(one, 1, answers)
    waits(limiter, 1)
    finish(b)
    answers.wait(3)
    end(one, two)
    assert turns.order == ["a", "b", "a"]
    assert limiter.use() == []


@pytest.mark.parametrize("more", KINDS)
def test_with_enough_for_both_they_do(more: str):
    limiter = RateLimiter(parse_amounts(["R:2"]))
    a, b = Doubling(), Doubling()
    one, two = (limited(limiter, name, placed(each, "R:1"), more=more) for name, each in (("one", a), ("two", b)))
    held(a, b)
    ask(one, 1)
    ask(two, 1)
    assert a.entered.acquire(timeout=60)
    assert b.entered.acquire(timeout=60)
    assert used(limiter) == {"R/cpu": 2}
    finish(a, b)
    end(one, two)


@pytest.mark.parametrize("more", KINDS)
def test_priority_two_gets_half_the_turns_while_both_have_requests(more: str):
    limiter, turns = RateLimiter(), Turns()
    a, b, first = turns.instance("a"), turns.instance("b"), Doubling()
    more = more.replace("8", "1")
    holder = limited(limiter, "holder", placed(first, "R:4"))
    one = limited(limiter, "one", placed(a, "R:4"), more=more)
    two = limited(limiter, "two", placed(b, "R:2 *S:2", 2), more=more)
    held(first)
    ask(holder, 1)
    assert first.entered.acquire(timeout=60)
    answers = Answers()
    ask(one, 40, answers)
    ask(two, 40, answers)
    waits(limiter, 2)
    finish(first)
    answers.wait(80)
    end(holder, one, two)
    assert turns.order[:45] == ["a", "a", "b"] * 15
    assert sorted(turns.order) == ["a"] * 40 + ["b"] * 40


def test_a_batch_is_formed_when_its_turn_has_come():
    limiter = RateLimiter()
    first, second = Doubling(), Doubling()
    one, two = (
        limited(limiter, "one", placed(first, "R:1")),
        limited(limiter, "two", placed(second, "R:1"), more=DYNAMIC),
    )
    held(first)
    ask(one, 1)
    assert first.entered.acquire(timeout=60)
    ask(two, 1)
    waits(limiter, 1)
    gone = ask(two, 1, first=2)[0]
    answers = Answers()
    ask(two, 4, answers, first=3)
    gone.cancel()
    finish(first)
    answers.wait(4)
    end(one, two)
    assert second.values == [[1, 3, 4, 5, 6]]


def test_instances_of_a_model_do_not_divide_what_only_one_of_them_can_run():
    limiter = RateLimiter()
    a, b, first = Doubling(), Doubling(), Doubling()
    holder = limited(limiter, "holder", placed(first, "R:4"))
    model = limited(limiter, "model", placed(a, "R:4"), placed(b, "R:2 *S:2", 2), more=DYNAMIC)
    held(first)
    ask(holder, 1)
    assert first.entered.acquire(timeout=60)
    ask(model, 8)
    finish(first)
    end(holder, model)
    assert a.batches + b.batches == [8]


def test_an_instance_that_needs_nothing_runs_while_others_of_its_model_wait():
    limiter = RateLimiter()
    first, bound, free = Doubling(), Doubling(), Doubling()
    holder = limited(limiter, "holder", placed(first, "R:1"))
    model = limited(limiter, "model", placed(bound, "R:1"), placed(free, "", 9))
    held(first)
    ask(holder, 1)
    assert first.entered.acquire(timeout=60)
    answers = Answers()
    for number in range(1, 5):  # each would be the bound one's, by its score
        ask(model, 1, answers)
        answers.wait(number)
    until(lambda: not limiter._waiting)  # nothing is queued, so nobody asks
    finish(first)
    end(holder, model)
    assert (len(bound.batches), len(free.batches)) == (0, 4)


def test_other_models_are_not_held_up_by_one_that_waits():
    limiter = RateLimiter()
    first, waiting, free, other = Doubling(), Doubling(), Doubling(), Doubling()
    schedulers = [
        limited(limiter, name, placed(instance, needs))
        for name, instance, needs in (
            ("first", first, "R:1"),
            ("waiting", waiting, "R:1"),
            ("free", free, ""),
            ("other", other, "S:1"),
        )
    ]
    held(first)
    ask(schedulers[0], 1)
    assert first.entered.acquire(timeout=60)
    ask(schedulers[1], 1)
    waits(limiter, 1)
    answers = Answers()
    ask(schedulers[2], 3, answers)
    ask(schedulers[3], 3, answers)
    answers.wait(6)
    assert waiting.batches == []
    finish(first)
    end(*schedulers)
    assert waiting.batches == [1]


@pytest.mark.parametrize("way", ["cancelled", "expired"])
def test_a_model_whose_requests_have_ended_waits_no_longer(way: str):
    limiter = RateLimiter(parse_amounts(["R:2"]))
    first, large, small = Doubling(), Doubling(), Doubling()
    holder = limited(limiter, "holder", placed(first, "R:1"))
    policy = "default_queue_policy { allow_timeout_override: true default_timeout_microseconds: 3600000000 }"
    blocked = limited(limiter, "large", placed(large, "R:2"), more=f"max_batch_size: 8 dynamic_batching {{ {policy} }}")
    late = limited(limiter, "small", placed(small, "R:1"))
    held(first)
    ask(holder, 1)
    assert first.entered.acquire(timeout=60)
    waiting = request(1, timeout_us=0 if way == "cancelled" else 300_000)
    waiting.reply = Answers()
    assert blocked.submit(waiting)
    waits(limiter, 1)
    answers = Answers()
    ask(late, 1, answers)  # it would have enough, but must not overtake
    if way == "cancelled":
        waits(limiter, 2)
        waiting.cancel()
    answers.wait(1)
    assert waiting.ended
    finish(first)
    end(holder, blocked, late)
    assert large.batches == []
    assert limiter.use() == []


@pytest.mark.parametrize("more", KINDS)
def test_a_model_that_is_stopped_while_it_waits_answers_what_is_queued(more: str):
    limiter = RateLimiter()
    first, second = Doubling(), Doubling()
    one = limited(limiter, "one", placed(first, "R:1"), more=more)
    two = limited(limiter, "two", placed(second, "R:1"), placed(Doubling(), "R:1"), more=more)
    held(first)
    ask(one, 1)
    assert first.entered.acquire(timeout=60)
    answers = Answers()
    ask(two, 3, answers)
    waits(limiter, 1)
    two.stop()
    assert not two.join(0)
    assert not two.submit(request())
    finish(first)
    assert all(response.error is None for response in answers.wait(3))
    end(one, two)
    assert second.closed.is_set()
    assert limiter.use() == []


def test_a_stopped_model_whose_requests_are_cancelled_ends_at_once():
    limiter = RateLimiter()
    first = Doubling()
    one = limited(limiter, "one", placed(first, "R:1"))
    two = limited(limiter, "two", *(placed(Doubling(), "R:1") for _ in range(3)))
    held(first)
    ask(one, 1)
    assert first.entered.acquire(timeout=60)
    waiting = ask(two, 3)
    waits(limiter, 1)
    two.stop()
    for each in waiting:
        each.cancel()
    assert two.join(60)
    finish(first)
    end(one)


def test_an_instance_that_is_retired_while_it_waits_leaves_the_requests_to_the_others():
    limiter = RateLimiter()
    first, old, new = Doubling(), Doubling(), Doubling()
    one = limited(limiter, "one", placed(first, "R:1"))
    two = limited(limiter, "two", placed(old, "R:1"))
    held(first)
    ask(one, 1)
    assert first.entered.acquire(timeout=60)
    answers = Answers()
    ask(two, 2, answers)
    waits(limiter, 1)
    two.resize([placed(new, "S:1")])
    answers.wait(2)
    assert old.closed.wait(60)
    assert (old.batches, new.batches) == ([], [1, 1])
    finish(first)
    end(one, two)


def test_an_instance_that_is_retired_while_it_runs_gives_back_what_it_holds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tcli_server.scheduling.batcher._LONGEST_FAREWELL_SECS", 0.1)  # it cannot go sooner
    limiter = RateLimiter()
    old, new = Doubling(), Doubling()
    model = limited(limiter, "model", placed(old, "R:1"))
    held(old)
    answers = Answers()
    ask(model, 1, answers)
    assert old.entered.acquire(timeout=60)
    model.resize([placed(new, "R:1")])
    ask(model, 1, answers)
    waits(limiter, 1)
    finish(old)
    answers.wait(2)
    assert old.closed.wait(60)
    end(model)
    assert (old.batches, new.batches) == ([1], [1])


def test_instances_that_cannot_be_served_are_closed_and_the_old_ones_go_on():
    limiter = RateLimiter(parse_amounts(["R:1"]))
    old, new = Doubling(), Doubling()
    old_placed = placed(old, "R:1")
    model = limited(limiter, "model", old_placed)
    with pytest.raises(InvalidArgumentError, match='"R" is limited to 1 which'):
        model.resize([old_placed, placed(new, "R:2")])
    assert new.closed.is_set()
    answers = Answers()
    ask(model, 2, answers)
    answers.wait(2)
    end(model)
    refused = Doubling()
    with pytest.raises(InvalidArgumentError, match='"S" is limited to 0 which'):
        limited(limiter, "other", placed(refused, "S:1"))
    assert refused.closed.is_set()


def test_an_execution_that_fails_gives_back_what_it_held():
    limiter = RateLimiter()

    def broken(_: object) -> None:
        raise SystemExit("broken")

    model = limited(limiter, "model", placed(Doubling(broken), "R:1"), more=DYNAMIC)
    answers = Answers()
    ask(model, 3, answers)
    assert all(response.error is not None for response in answers.wait(3))
    until(lambda: used(limiter) == {"R/cpu": 0})
    end(model)


def test_a_delay_for_larger_batches_is_waited_for_without_holding_anything():
    limiter = RateLimiter()
    waiting, other = Doubling(), Doubling()
    delayed = "max_batch_size: 8 dynamic_batching { preferred_batch_size: 2 max_queue_delay_microseconds: 3600000000 }"
    one = limited(limiter, "one", placed(waiting, "R:1"), more=delayed)
    two = limited(limiter, "two", placed(other, "R:1"))
    answers = Answers()
    ask(one, 1)
    until(lambda: one._leader is not None)
    ask(two, 2, answers)
    answers.wait(2)
    ask(one, 1, answers)
    answers.wait(3)
    end(one, two)
    assert waiting.batches == [2]


def test_of_idle_instances_the_one_with_the_best_score_runs():
    limiter = RateLimiter()
    cheap, dear = Doubling(), Doubling()
    model = limited(limiter, "model", placed(dear, "R:1", 4), placed(cheap, "R:1", 1))
    answers = Answers()
    for number in range(1, 51):
        until(lambda: len(model._parked) == 2)
        ask(model, 1, answers)
        answers.wait(number)
    end(model)
    assert (len(cheap.batches), len(dear.batches)) == (40, 10)


class AtOnce:
    """A `Later` that puts nothing off."""

    def call(self, callback: Callable[[], None]) -> None:
        callback()


@pytest.mark.parametrize(("needs", "here"), [("R:1", False), ("", True)])
def test_what_has_to_wait_never_runs_in_the_thread_that_brings_it(
    needs: str, here: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quickness, "QUICK_NS", 10**12)  # on however slow a machine
    threads: list[int] = []

    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        threads.append(threading.get_ident())
        return inputs["X"] * 2

    instance = Doubling(run)
    config = CONFIG.replace("[ -1 ]", "[ 1 ]")
    model = limited(RateLimiter(), "model", placed(instance, needs), more="max_batch_size: 8", config=config)
    answers = Answers()
    for number in range(1, 21):
        until(lambda: len(model._parked) == 1 and model.idle)
        made = request(number)
        made.reply = answers
        assert model.submit(made, AtOnce())
        answers.wait(number)
    end(model)
    assert (threading.get_ident() in threads) == here


def test_without_a_limiter_nothing_of_this_matters():
    a, b = Doubling(), Doubling()
    one, two = (limited(None, name, placed(each, "R:1")) for name, each in (("one", a), ("two", b)))
    held(a, b)
    ask(one, 1)
    ask(two, 1)
    assert a.entered.acquire(timeout=60)
    assert b.entered.acquire(timeout=60)
    finish(a, b)
    end(one, two)
