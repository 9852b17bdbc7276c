"""Questions between two processes; here both ends are in one."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from multiprocessing.connection import Pipe

import pytest

from tcli_server.errors import InternalError, InvalidArgumentError
from tcli_server.workers.channel import Channel, ChannelLostError

PATIENCE = 30


class Ends:
    """Two ends; `asked` is what the second was asked, and `answer` what it says."""

    def __init__(self) -> None:
        self.lost = threading.Event()
        self.asked: list[object] = []
        self.answer: object = None
        here, self.there = Pipe()
        self.first = Channel(here, lambda _: None, self.lost.set)
        self.second = Channel(self.there, self.handle, lambda: None)
        self.first.start()
        self.second.start()

    def handle(self, message: object) -> object:
        self.asked.append(message)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.there.close()


def test_an_answer(ends: Ends):
    ends.answer = {"a": 1}
    assert ends.first.ask("what?").result(PATIENCE) == {"a": 1}
    assert ends.asked == ["what?"]


def test_an_answer_that_comes_later_and_others_before_it(ends: Ends):
    ends.answer = later = Future()
    first = ends.first.ask(1)
    while not ends.asked:
        pass
    ends.answer = "second"
    assert ends.first.ask(2).result(PATIENCE) == "second"
    later.set_result("first")
    assert first.result(PATIENCE) == "first"


def test_errors_keep_their_kind_and_words_and_the_channel_goes_on(ends: Ends):
    ends.answer = InvalidArgumentError("no such thing")
    with pytest.raises(InvalidArgumentError, match=r"^no such thing$"):
        ends.first.ask(1).result(PATIENCE)
    ends.answer = ValueError("a mistake")
    with pytest.raises(InternalError, match="ValueError: a mistake"):
        ends.first.ask(1).result(PATIENCE)
    ends.answer = 7
    assert ends.first.ask(1).result(PATIENCE) == 7


def test_what_waits_hears_that_the_other_end_is_gone():
    here, there = Pipe()
    lost = threading.Event()
    channel = Channel(here, lambda _: None, lost.set)
    channel.start()
    waiting = channel.ask(1)
    there.close()
    with pytest.raises(ChannelLostError):
        waiting.result(PATIENCE)
    assert lost.wait(PATIENCE)
    with pytest.raises(ChannelLostError):
        channel.ask(2).result(PATIENCE)
