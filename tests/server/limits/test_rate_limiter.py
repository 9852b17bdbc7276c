"""Amounts, scores and who may pass whom: the rate limiter by itself."""

import random

import pytest

from limited import place, used
from tcli_server.backends import Placement
from tcli_server.errors import InvalidArgumentError
from tcli_server.scheduling.limits.amounts import parse_amounts
from tcli_server.scheduling.limits.rate_limiter import Permit, RateLimiter


class Asker:
    """Asks for one permit, and counts what it got."""

    def __init__(self, limiter: RateLimiter, model: str, placement: Placement) -> None:
        (self.permit,) = limiter.join(model, [placement])
        self.holds = False
        self.turns = 0

    def ask(self) -> bool:
        if self.permit.ask(self._woken):
            self._woken()
        return self.holds

    def _woken(self) -> None:
        self.holds = True
        self.turns += 1

    def release(self) -> None:
        self.holds = False
        self.permit.release()

    def give_up(self) -> None:
        self.holds = False
        self.permit.give_up()

    def again(self) -> None:
        """Run, and ask for the next turn at once."""
        self.holds = False
        self.permit.release(again=True)
        self.ask()


def limiter(*amounts: str) -> RateLimiter:
    return RateLimiter(parse_amounts(amounts))


def amounts(of: RateLimiter) -> dict[str, int]:
    return {f"{use.name}/{use.device}": use.amount for use in of.use()}


# --- how much there is ---


def test_without_a_word_there_is_what_the_single_instance_needs_that_needs_most():
    """The example of Triton's documentation."""
    shared = limiter()
    a = shared.join("a", [place("R1:4 R2:4")])
    b = shared.join("b", [place("R2:5 R3:10 R4:5")])
    shared.join("c", [place("R1:1 R3:7 R4:2"), place("R1:1 R3:7 R4:2")])
    assert amounts(shared) == {"R1/cpu": 4, "R2/cpu": 5, "R3/cpu": 10, "R4/cpu": 5}
    b[0].leave()
    assert amounts(shared) == {"R1/cpu": 4, "R2/cpu": 4, "R3/cpu": 7, "R4/cpu": 2}
    a[0].leave()
    assert amounts(shared) == {"R1/cpu": 1, "R3/cpu": 7, "R4/cpu": 2}


def test_what_the_command_line_says_counts_whatever_comes_and_goes():
    """The other example of Triton's documentation: two devices, and R3 global."""
    shared = limiter("R1:10", "R2:5:0", "R2:8:1", "R3:2")
    permits = shared.join("a", [place("R1:1 R2:5 *R3:2", gpu=0), place("R1:1 R2:8 *R3:1", gpu=1)])
    expected = {"R1/0": 10, "R1/1": 10, "R2/0": 5, "R2/1": 8, "R3/global": 2}
    assert amounts(shared) == expected
    shared.join("b", [place("R1:9 R2:1 *R3:1", gpu=0)])
    assert amounts(shared) == expected
    permits[1].leave()
    assert amounts(shared) == {"R1/0": 10, "R2/0": 5, "R3/global": 2}


def test_the_cpu_is_a_device_and_also_answers_to_tritons_number_for_it():
    shared = limiter("R:5:0", "S:1:0", "S:7:cpu", "T:3")
    shared.join("a", [place("R:5 S:7 T:3"), place("R:1 S:1 T:1", gpu=0)])
    assert amounts(shared) == {"R/0": 5, "R/cpu": 5, "S/0": 1, "S/cpu": 7, "T/0": 3, "T/cpu": 3}


def test_a_global_resource_has_the_largest_amount_that_is_named_for_a_device():
    shared = limiter("R:2:0", "R:4:1", "R:3")
    shared.join("a", [place("*R:4")])
    assert amounts(shared) == {"R/global": 4}


@pytest.mark.parametrize(
    ("explicit", "needs", "words"),
    [
        (["R:3"], "R:4", 'Resource count for "R" is limited to 3 which'),
        (["R:3"], "*R:4", 'Resource count for "R" is limited to 3 which'),
        (["R:10:10"], "R:4", 'Resource count for "R" is limited to 0 which'),
        (["S:10"], "R:4", 'Resource count for "R" is limited to 0 which'),
        (["r:10"], "R:4", 'Resource count for "R" is limited to 0 which'),
        (["R:0"], "R:4", 'Resource count for "R" is limited to 0 which'),
    ],
)
def test_what_can_never_run_is_refused_in_tritons_words(explicit: list[str], needs: str, words: str):
    shared = limiter(*explicit)
    with pytest.raises(InvalidArgumentError) as caught:
        shared.join("a", [place(), place(needs)])
    assert str(caught.value).startswith(words)
    assert "will prevent scheduling of one or more model instances, the minimum required count is 4" in str(
        caught.value
    )
    assert shared.use() == []
    shared.join("b", [place()])


def test_the_amount_to_start_with_is_told():
    for explicit, placement, fix in (
        ("R:1", place("R:4"), "--rate-limit-resource=R:4"),
        ("R:1:1", place("R:4", gpu=1), "--rate-limit-resource=R:4:1"),
        ("R:1", place("*R:4"), "--rate-limit-resource=R:4"),
    ):
        fault = limiter(explicit).fault("a", [placement])
        assert fault is not None
        assert fault.text.endswith(fix)


def test_a_name_is_global_or_of_devices_never_both():
    shared = limiter()
    shared.join("a", [place("R:1")])
    words = 'Resource "R" is present as both global and device-specific resource in the model configuration.'
    with pytest.raises(InvalidArgumentError, match="not in model 'a'") as caught:
        shared.join("b", [place("*R:1")])
    assert words in str(caught.value)
    with pytest.raises(InvalidArgumentError, match="both global"):
        shared.join("c", [place("*S:1"), place("S:1")])
    # A new copy of the model takes the old one's place, which goes.
    shared.join("a", [place("*R:1")])


# --- who is next ---


def take_turns(rounds: int, *askers: Asker) -> list[int]:
    """The order of turns of askers that always want another one, and exclude each other."""
    for asker in askers:
        asker.ask()
    order = []
    for _ in range(rounds):
        (holder,) = [index for index, asker in enumerate(askers) if asker.holds]
        order.append(holder)
        askers[holder].again()
    return order


def test_a_priority_of_two_gets_half_the_turns_of_a_priority_of_one():
    shared = limiter()
    order = take_turns(300, Asker(shared, "a", place("R:4", 1)), Asker(shared, "b", place("R:2 S:1", 2)))
    assert order == [0, 0, 1] * 100


@pytest.mark.parametrize("priorities", [(1, 1), (0, 1), (1, 3), (2, 6), (1, 2, 3, 6), (5, 1, 1)])
def test_turns_are_as_the_priorities_say_whoever_asks_first(priorities: tuple[int, ...]):
    shared = limiter()
    askers = [Asker(shared, f"m{index}", place("R:1", priority)) for index, priority in enumerate(priorities)]
    rounds = 1200
    order = take_turns(rounds, *askers)
    weights = [1 / max(1, priority) for priority in priorities]
    for index, weight in enumerate(weights):
        assert abs(order.count(index) - rounds * weight / sum(weights)) <= len(priorities)


def test_who_comes_later_has_no_credit_for_the_time_before():
    shared = limiter()
    old, other = Asker(shared, "old", place("R:1")), Asker(shared, "other", place("R:1"))
    take_turns(1000, old, other)
    order = take_turns(90, old, other, Asker(shared, "new", place("R:1")))
    assert [order.count(index) for index in range(3)] == [30, 30, 30]


def test_who_had_nothing_to_do_has_no_credit_for_that_time():
    shared = limiter()
    busy, lazy = Asker(shared, "busy", place("R:1")), Asker(shared, "lazy", place("R:1"))
    for _ in range(500):
        assert busy.ask()
        busy.release()
    lazy.permit.give_up()
    order = take_turns(20, busy, lazy)
    assert order.count(0) == 10


def test_turns_that_nobody_used_do_not_count():
    shared = limiter()
    wanting, idle = Asker(shared, "wanting", place("R:1")), Asker(shared, "idle", place("R:1"))
    for _ in range(100):
        assert idle.ask()
        idle.give_up()
    assert take_turns(10, wanting, idle).count(1) == 5


# --- who may pass whom ---


def test_who_needs_nothing_or_something_else_does_not_wait():
    shared = limiter("R:4", "S:1")
    holder, first = Asker(shared, "holder", place("R:2")), Asker(shared, "first", place("R:4"))
    assert holder.ask()
    assert not first.ask()
    assert Asker(shared, "free", place()).ask()
    assert Asker(shared, "else", place("S:1")).ask()
    assert Asker(shared, "elsewhere", place("R:4", gpu=0)).ask()
    late = Asker(shared, "late", place("R:2"))
    assert not late.ask()  # there is enough for it, but then the first could wait for ever
    holder.release()
    assert first.holds
    assert not late.holds
    first.release()
    assert late.holds


def test_what_is_left_over_by_who_waits_may_be_used():
    shared = limiter("R:4", "S:3")
    holder, first = Asker(shared, "holder", place("R:1")), Asker(shared, "first", place("R:4 S:1"))
    assert holder.ask()
    assert not first.ask()
    others = [Asker(shared, f"other{index}", place("S:1")) for index in range(3)]
    assert [other.ask() for other in others] == [True, True, False]  # one is set aside
    holder.release()
    assert first.holds
    others[0].release()
    assert others[2].holds


def test_a_better_score_comes_first_though_it_asks_last():
    shared = limiter()
    holder = Asker(shared, "holder", place("R:1"))
    worse, better = Asker(shared, "worse", place("R:1", 5)), Asker(shared, "better", place("R:1", 3))
    assert holder.ask()
    assert not worse.ask()
    assert not better.ask()
    holder.release()
    assert better.holds
    better.release()
    assert worse.holds


def test_asking_no_more_lets_the_others_go_on():
    shared = limiter("R:4")
    holder, first, late = (
        Asker(shared, name, place(needs)) for name, needs in zip("abc", ("R:2", "R:4", "R:2"), strict=True)
    )
    assert holder.ask()
    assert not first.ask()
    assert not late.ask()
    assert first.permit.withdraw()
    assert late.holds
    assert not first.permit.withdraw()
    holder.release()
    late.release()
    assert not first.holds
    assert first.ask()
    assert not first.permit.withdraw()  # it has it


def test_an_instance_that_goes_gives_everything_back():
    shared = limiter("R:1")
    holder, first, late = (Asker(shared, name, place("R:1")) for name in "abc")
    assert holder.ask()
    assert not first.ask()
    assert not late.ask()
    first.permit.leave()
    first.permit.leave()
    holder.permit.leave()  # it runs still
    assert used(shared) == {"R/cpu": 1}
    assert not late.holds
    holder.release()
    assert late.holds
    late.release()
    assert used(shared) == {"R/cpu": 0}
    late.permit.leave()
    assert shared.use() == []


def test_more_may_be_held_than_there_is_once_the_largest_has_gone():
    shared = limiter()
    large, *small = (Asker(shared, name, place(needs)) for name, needs in (("a", "R:4"), ("b", "R:2"), ("c", "R:2")))
    assert all(asker.ask() for asker in small)
    large.permit.leave()
    assert [(use.amount, use.used) for use in shared.use()] == [(2, 4)]
    small[0].again()
    assert not small[0].holds
    small[1].release()
    assert small[0].holds


def test_who_waits_is_served_when_there_is_more_all_at_once():
    shared = limiter()
    first, second = Asker(shared, "a", place("R:1")), Asker(shared, "b", place("R:1"))
    assert first.ask()
    assert not second.ask()
    shared.join("large", [place("R:4")])
    assert second.holds


def test_what_was_waited_for_is_counted():
    shared = limiter("R:1", "S:2")
    holder, waiting = Asker(shared, "a", place("R:1 S:1")), Asker(shared, "b", place("R:1 S:1"))
    assert holder.ask()
    assert not waiting.ask()
    r, s = shared.use()
    assert (r.waiting, s.waiting) == (1, 0)
    assert 0 < r.wait_ns < shared.use()[0].wait_ns  # also while it lasts
    holder.release()
    r, s = shared.use()
    assert (r.waiting, r.used, s.wait_ns) == (0, 1, 0)
    assert r.wait_ns == shared.use()[0].wait_ns


# --- whatever comes ---


@pytest.mark.parametrize("seed", range(20))
def test_nobody_gets_too_much_or_nothing(seed: int):
    """Random lives: what is held never passes the amounts, and whoever asks has a turn in the end."""
    dice = random.Random(seed)
    shared = limiter("R:4", "S:2", "G:3")
    askers = [
        Asker(
            shared,
            f"m{index}",
            place(
                dice.choice(("", "R:1", "R:2 S:1", "R:4", "*G:3", "*G:1 S:2", "S:1")),
                dice.randint(0, 3),
                dice.choice((None, 0)),
            ),
        )
        for index in range(8)
    ]
    waiting: set[Asker] = set()
    for _ in range(2000):
        asker = dice.choice(askers)
        if asker.holds:
            if dice.random() < 0.8:
                asker.release()
            else:
                asker.give_up()
        elif asker not in waiting:
            if not asker.ask():
                waiting.add(asker)
        elif dice.random() < 0.3 and asker.permit.withdraw():
            waiting.discard(asker)
        waiting -= {other for other in waiting if other.holds}
        held: dict[tuple[str, str], int] = {}
        for other in askers:
            for key, count in other.permit.needs if other.holds else ():
                held[key] = held.get(key, 0) + count
        for use in shared.use():
            assert use.used == held.get((use.name, use.device), 0) <= use.amount
        if waiting:  # the first in line is kept waiting by others that hold, never by nobody
            assert any(other.holds for other in askers)
    while waiting:
        (done := next(asker for asker in askers if asker.holds)).release()
        assert isinstance(done.permit, Permit)
        waiting -= {other for other in waiting if other.holds}


def test_the_largest_need_is_met_however_many_small_ones_come():
    shared = limiter("R:4")
    small = [Asker(shared, f"s{index}", place("R:1")) for index in range(4)]
    large = Asker(shared, "large", place("R:4", 10))
    for asker in small:
        assert asker.ask()
    assert not large.ask()
    turns = 0
    while not large.holds:
        for asker in small:
            if asker.holds:
                asker.again()
                turns += 1
        assert turns < 100
