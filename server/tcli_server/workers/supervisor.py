"""Starts the workers, replaces those that end, and is the one whom they ask; no request passes through it."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from itertools import count
from queue import SimpleQueue

from prometheus_client.metrics_core import Metric
from tritonclient.grpc import service_pb2

from tcli_server.engine import LONGEST_WAIT_SECS
from tcli_server.errors import InternalError, ServerError
from tcli_server.observability.log import LOG, change_log
from tcli_server.observability.system_metrics import single
from tcli_server.serving import check_endpoints, endpoints
from tcli_server.workers.cores import core_shares
from tcli_server.workers.counting import REPORT_SECS, Counting
from tcli_server.workers.messages import (
    AskStatistics,
    ChangeLog,
    ChangeTrace,
    Ended,
    Load,
    Loaded,
    Opened,
    Retire,
    Stop,
    Unload,
    Withdraw,
)
from tcli_server.workers.metrics_port import MetricsPort
from tcli_server.workers.model_set import ModelSet, failed_models
from tcli_server.workers.ports import SharedPorts
from tcli_server.workers.process import WorkerProcess
from tcli_server.workers.setup import WorkerSetup
from tcli_server.workers.totals import Totals

_MOST_STARTS = 5
"""Starts of one worker that fail one after the other before the server ends."""

_LONG_LIFE_SECS = 60.0
_FIRST_DELAY_SECS = 0.1
_LONGEST_DELAY_SECS = 30.0
_END_SECS = 10.0
"""For what a worker does after its last request was answered, or could have been."""


class _LacksModelError(InternalError):
    """A new worker could not load a model that clients get from the others."""


class Supervisor:
    """Workers that share ports and cores; `load`, `open`, and at last `shutdown`.

    Args:
        failed: called, once, when a worker cannot be started again and again; `failure` says why then.

    Attributes:
        http_port: the port that HTTP listens on, 0 while it does not; likewise grpc_port and metrics_port.
        cloud_ports: none: clouds are answered by a process alone.
        failure: why the server has to end, empty as long as it need not.

    Raises:
        InvalidArgumentError: options that several workers cannot have.
    """

    def __init__(self, setup: WorkerSetup, failed: Callable[[], None]) -> None:
        setup.check()
        self.http_port = self.grpc_port = self.metrics_port = 0
        self.cloud_ports: dict[str, int] = {}
        self.failure = ""
        self._setup = setup
        self._failed = failed
        self._cores = core_shares(sorted(os.sched_getaffinity(0)), setup.workers)
        self._models = ModelSet(setup.engine.model_load_thread_count)
        self._totals = Totals()
        self._lock = threading.Lock()
        self._workers: list[WorkerProcess] = []  # all that run
        self._slots: list[WorkerProcess] = []  # the one of each place
        self._slot_locks = [threading.Lock() for _ in range(setup.workers)]
        self._delays = [0.0] * setup.workers
        self._ready_at = [0.0] * setup.workers
        self._restarts = 0
        self._stopping = threading.Event()
        self._withdrawn = False  # the workers leave their ports before they stop
        self._reloads: SimpleQueue[bool] = SimpleQueue()
        self._counting = Counting(self._totals, self._running)
        self._ports: SharedPorts | None = None
        self._metrics: MetricsPort | None = None

    # --- start ---

    def load(self) -> Loaded:
        """Start all workers and have them load their models.

        Returns:
            What one of them loaded; one that failed to load a model, if there is any.

        Raises:
            ServerError: an address cannot be had, or a worker cannot start.
        """
        check_endpoints(self._setup.serve)
        cores = len({core for share in self._cores for core in share})
        if self._setup.workers > cores:
            LOG.warning(
                "%d workers share %d cores: more workers than cores are seldom faster", self._setup.workers, cores
            )
        self._ports = SharedPorts(self._setup.serve)
        self._setup = replace(self._setup, serve=self._ports.options)
        self._slots = [self._begin(slot) for slot in range(self._setup.workers)]
        threading.Thread(target=self._keep_reports, name="reports", daemon=True).start()
        loaded = [worker.loaded.result() for worker in self._slots]
        indexes = {worker: _index(one) for worker, one in zip(self._slots, loaded, strict=True)}
        if not self._setup.engine.exit_on_error:
            self._models.settle(indexes)
        return next((one for one in loaded if failed_models(_index(one))), loaded[0])

    def open(self) -> None:
        """Have all workers open the ports; once this returns, all accept connections.

        Raises:
            ServerError: an address cannot be had, or a worker ended.
        """
        options = self._setup.serve
        for worker in self._slots:
            worker.open()
        for worker in self._slots:
            worker.ready.result()
            self._ready_at[worker.slot] = time.monotonic()
        self.http_port = options.http_port if options.allow_http else 0
        self.grpc_port = options.grpc_port if options.allow_grpc else 0
        for endpoint in endpoints(options):
            if endpoint.name == "metrics":
                self._metrics = MetricsPort(endpoint, options, self._families)
                self.metrics_port = self._metrics.port
                LOG.info("Started %s at %s", endpoint.service, replace(endpoint, port=self.metrics_port))
        threading.Thread(target=self._keep_reloading, name="reloads", daemon=True).start()

    def _begin(self, slot: int) -> WorkerProcess:
        try:
            worker = WorkerProcess(slot, self._cores[slot], self._asked, self._totals.told)
        except OSError as error:
            raise InternalError(f"the system starts no worker: {error}") from None
        with self._lock:
            self._workers.append(worker)
        self._models.join(worker, lambda operations: worker.begin(self._setup.of_each(operations), self._worker_ended))
        if self._stopping.is_set():
            worker.kill()
        return worker

    # --- what workers ask ---

    def _asked(self, worker: WorkerProcess, message: object) -> object:
        if isinstance(message, Load):
            return self._models.carry_out(message)
        if isinstance(message, Unload):
            unloaded = self._models.carry_out(message)
            unloaded.add_done_callback(lambda _: self._totals.forget(message.name))
            return unloaded
        if isinstance(message, Opened):
            return self._models.opened(message.number, worker)
        if isinstance(message, ChangeLog):
            return self._change_log(message)
        if isinstance(message, ChangeTrace):
            return self._change_trace(message)
        assert isinstance(message, AskStatistics)
        self._totals.told(worker, message.own)
        return self._counting.statistics(worker)

    def _change_log(self, message: ChangeLog) -> "Future[None]":
        """Done when all workers log so; those that start later will."""
        change_log(message.options)
        self._setup = replace(self._setup, log=message.options)
        return self._tell_all(message)

    def _change_trace(self, message: ChangeTrace) -> "Future[None]":
        """Likewise."""
        known = self._setup.trace_changes
        changes = {**known, message.model: {**known.get(message.model, {}), **message.changes}}
        self._setup = replace(self._setup, trace_changes=changes)
        return self._tell_all(message)

    def _tell_all(self, message: ChangeLog | ChangeTrace) -> "Future[None]":
        told = [worker.channel.ask(message) for worker in self._running()]
        done: Future[None] = Future()
        left = count(len(told) - 1, -1)

        def heard(_: "Future[None]") -> None:
            if next(left) == 0:
                done.set_result(None)

        for answer in told:
            answer.add_done_callback(heard)
        return done

    def _families(self) -> list[Metric]:
        serving = sum(worker.serving for worker in self._running())
        restarts = Metric("tcli_server_worker_restarts", "Workers that took the place of one that ended", "counter")
        restarts.add_sample(restarts.name, {}, self._restarts)
        return [
            *self._counting.families(),
            single("tcli_server_workers", "Workers that accept connections", serving),
            restarts,
        ]

    def _running(self) -> list[WorkerProcess]:
        with self._lock:
            return list(self._workers)

    def _keep_reports(self) -> None:
        while not self._stopping.wait(REPORT_SECS):
            self._counting.refresh()
            for worker in self._running():
                worker.kill_if_silent(REPORT_SECS)

    # --- workers that end ---

    def _worker_ended(self, worker: WorkerProcess) -> None:
        self._models.leave(worker)
        with self._lock:
            self._workers.remove(worker)
            self._totals.ended(worker)
        if worker.ready.exception() is None and not worker.retiring:
            self._replace(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        slot = worker.slot
        with self._slot_locks[slot]:
            if self._stopping.is_set() or self._slots[slot] is not worker:
                return
            LOG.error("worker %d has ended: %s; another takes its place", worker.pid, worker.death())
            if time.monotonic() - self._ready_at[slot] > _LONG_LIFE_SECS:
                self._delays[slot] = 0.0
            starts = 0
            while starts < _MOST_STARTS:
                if self._stopping.wait(self._delays[slot]):
                    return
                self._delays[slot] = min(_LONGEST_DELAY_SECS, max(_FIRST_DELAY_SECS, self._delays[slot] * 2))
                try:
                    self._put_in_place(slot)
                except ServerError as error:
                    reason = str(error)
                    starts += not isinstance(error, _LacksModelError)  # the others serve on meanwhile
                    LOG.error("a worker cannot start: %s", reason)
                else:
                    self._restarts += 1
                    return
        if not self._stopping.is_set():
            self.failure = (
                f"a worker could not be started {_MOST_STARTS} times in a row, the last time because: {reason}"
            )
            self._failed()

    def _put_in_place(self, slot: int) -> WorkerProcess:
        """A new worker that accepts connections.

        Raises:
            _LacksModelError: it could not load what others have loaded.
            ServerError: it ended before.
        """
        worker = self._begin(slot)
        failed = failed_models(_index(worker.loaded.result()))
        if failed:
            self._counting.refresh()  # what others have may have been loaded since they reported, or none has reported yet
        serving = [other for other in self._running() if other.serving]
        lacking = sorted(self._totals.models(serving) & failed.keys())
        if lacking:
            worker.kill()
            raise _LacksModelError(f"it could not load '{lacking[0]}', which others have: {failed[lacking[0]]}")
        worker.open()
        worker.ready.result()
        self._slots[slot] = worker
        self._ready_at[slot] = time.monotonic()
        return worker

    # --- one by one ---

    def reload_soon(self) -> None:
        """Replace every worker by a new one, one by one, without a request that fails; may be called in a signal's handler."""
        self._reloads.put(True)

    def _keep_reloading(self) -> None:
        while self._reloads.get():
            LOG.info("reloading: each worker is replaced by a new one")
            if all(self._renew(slot) for slot in range(self._setup.workers)):
                LOG.info("reloaded")

    def _renew(self, slot: int) -> bool:
        with self._slot_locks[slot]:
            if self._stopping.is_set():
                return False
            before = self._slots[slot]
            try:
                self._put_in_place(slot)
            except ServerError as error:
                LOG.error("not reloaded: a new worker cannot start: %s; the old ones go on", error)
                return False
            before.retiring = True
        self._models.leave(before)
        timeout = min(self._setup.serve.exit_timeout_secs, LONGEST_WAIT_SECS)
        self._end([before], Retire(timeout), 2 * timeout)  # to leave its ports, and to answer what it has then
        return True

    # --- end ---

    def withdraw(self) -> None:
        """As `Server.withdraw`, for all workers; those that end meanwhile are not replaced."""
        delay = self._setup.serve.shutdown_delay_secs
        if delay > 0:
            self._stopping.set()
            for worker in self._running():
                worker.channel.ask(Withdraw())
            LOG.info("Not ready any more, and stopping in %g s", delay)
            time.sleep(delay)
            self._withdrawn = True

    def shutdown(self, timeout: float | None = None) -> bool:
        """Have all workers answer what is in flight and end.

        Args:
            timeout: seconds to wait, None for `exit_timeout_secs` of the options.

        Returns:
            True if everything was answered in time.
        """
        timeout = min(self._setup.serve.exit_timeout_secs if timeout is None else timeout, LONGEST_WAIT_SECS)
        self._stopping.set()
        self._reloads.put(False)
        self._models.stop()
        running = self._running()
        for worker in running:
            worker.retiring = True
        serving = [worker for worker in running if worker.serving]
        others = [worker for worker in running if worker not in serving]
        for worker in others:
            worker.kill()
        if self._withdrawn:
            answered = self._end(serving, Retire(timeout), 2 * timeout)
        else:
            answered = self._end(serving, Stop(timeout), timeout)
        for worker in others:
            worker.wait(_END_SECS)
        if self._metrics is not None:
            self._metrics.close()
        if self._ports is not None:
            self._ports.close()
        self._counting.close()
        return answered

    def _end(self, workers: Sequence[WorkerProcess], order: Retire | Stop, timeout: float) -> bool:
        """True if all answered everything that was asked of them within `timeout` seconds, and the time to end."""
        told = [(worker, self._tell_to_end(worker, order)) for worker in workers]
        deadline = time.monotonic() + timeout + _END_SECS
        wait([answer for _, answer in told], deadline - time.monotonic())
        answered = True
        for worker, answer in told:
            ended: Ended | None = answer.result() if answer.done() and answer.exception() is None else None
            answered = answered and ended is not None and ended.answered
            if not worker.wait(max(0.0, deadline - time.monotonic()) if ended is not None else 0.0):
                worker.kill()
                worker.wait(_END_SECS)
        return answered

    def _tell_to_end(self, worker: WorkerProcess, order: Retire | Stop) -> "Future[Ended]":
        def count(done: "Future[Ended]") -> None:
            if done.exception() is None:
                self._totals.told(worker, done.result().last)

        answer: Future[Ended] = worker.channel.ask(order)
        answer.add_done_callback(count)
        return answer


def _index(loaded: Loaded) -> service_pb2.RepositoryIndexResponse:
    index: service_pb2.RepositoryIndexResponse = service_pb2.RepositoryIndexResponse.FromString(loaded.index)
    return index
