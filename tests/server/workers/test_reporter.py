"""Asking a worker what it has counted."""

from concurrent.futures import Future

from tcli_server.workers.messages import Report
from tcli_server.workers.reporter import Reporter


class Worker:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Future[Report]] = []

    def ask(self) -> "Future[Report]":
        self.asked.append(Future())
        return self.asked[-1]


def test_who_asks_meanwhile_shares_a_later_report():
    worker, told = Worker(), []
    reporter = Reporter(worker.ask, told.append)
    first, *later = [reporter.fresh() for _ in range(4)]
    assert len(worker.asked) == 1
    worker.asked[0].set_result(Report(0, b"", []))
    assert (first.done(), [one.done() for one in later]) == (True, [False] * 3)
    assert len(worker.asked) == 2
    worker.asked[1].set_result(Report(1, b"", []))
    assert all(one.done() for one in later)
    assert [report.number for report in told] == [0, 1]
    assert not reporter.overdue(0)
    reporter.fresh()
    assert len(worker.asked) == 3


def test_a_worker_that_has_ended_keeps_nobody_waiting():
    worker = Worker()
    reporter = Reporter(worker.ask, lambda _: None)
    waiting = [reporter.fresh() for _ in range(2)]
    for asked in (0, 1):
        worker.asked[asked].set_exception(ConnectionError())
    assert all(one.done() for one in waiting)
    assert reporter.answers == 0
