"""What runs in a worker: its engine and its ports, at the supervisor's word."""

import os
import signal
import sys
import threading
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import NoReturn

from tcli_server.errors import ServerError
from tcli_server.hardware.share import share_machine
from tcli_server.observability.log import LOG, change_log, configure_log
from tcli_server.observability.native_log import NativeLog
from tcli_server.serving import Server
from tcli_server.temporary import remove_abandoned_folders, remove_own_folders
from tcli_server.workers.channel import Channel
from tcli_server.workers.messages import (
    AskFailure,
    AskReport,
    CarryOut,
    ChangeLog,
    ChangeTrace,
    Ended,
    Failed,
    Loaded,
    NotLoaded,
    Ready,
    Retire,
    Stop,
    Withdraw,
)
from tcli_server.workers.setup import SUPERVISORS_SIGNALS, WorkerSetup
from tcli_server.workers.shared_engine import SharedEngine

_Order = tuple[Retire | Stop, "Future[Ended]"]

_LAST_WORDS_SECS = 5.0
"""For what this says last to be sent."""


def main() -> None:
    """Serve until the supervisor ends this, or itself."""
    for number in SUPERVISORS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SUPERVISORS_SIGNALS)
    os.set_inheritable(int(sys.argv[3]), False)
    connection = Connection(int(sys.argv[3]))
    try:
        setup: WorkerSetup = connection.recv()
    except EOFError:
        return
    share_machine(setup.workers)
    configure_log(setup.log)
    with NativeLog(setup.log) as native_log:
        try:
            answered = _serve(setup, connection)
        finally:
            remove_own_folders()
            native_log.close()
        _leave(0 if answered else 1)


def _serve(setup: WorkerSetup, connection: Connection) -> bool:
    """True if everything was answered at the end."""
    orders: SimpleQueue[_Order | None] = SimpleQueue()
    remove_abandoned_folders()
    try:
        engine = SharedEngine(setup)
    except ServerError as error:
        connection.send((0, 0, Failed(str(error))))
        return True

    started = threading.Event()

    def lost() -> None:
        if not started.is_set():  # nobody waits for what still loads, which may take minutes
            remove_own_folders()
            _leave(1)
        orders.put(None)

    channel = Channel(connection, partial(_answer, engine, orders), lost)
    engine.connect(channel)
    channel.start()
    server = Server(engine, setup.serve)
    try:
        engine.start()
        engine.catch_up()
        placeholders = [model.name for model in engine.models() if model.is_placeholder]
        channel.ask(Loaded(_index(engine), placeholders)).result()
        server.start()
        started.set()
        channel.ask(Ready()).result()
    except ServerError as error:
        channel.ask(Failed(str(error)))
        channel.finish(_LAST_WORDS_SECS)
        server.shutdown(0)
        engine.shutdown(0)
        return True
    answered = _end(server, engine, orders.get())
    channel.finish(_LAST_WORDS_SECS)
    return answered


def _answer(engine: SharedEngine, orders: "SimpleQueue[_Order | None]", message: object) -> object:
    """The answer to the supervisor, or its future."""
    if isinstance(message, CarryOut):
        return engine.carry_out(message)
    if isinstance(message, AskReport):
        return engine.report()
    if isinstance(message, AskFailure):
        return engine.failure(message.name)
    if isinstance(message, NotLoaded):
        engine.show_failure(message)
        return None
    if isinstance(message, Withdraw):
        engine.withdraw()
        return None
    if isinstance(message, ChangeLog):
        change_log(message.options)
        return None
    if isinstance(message, ChangeTrace):
        engine.tracer.change(message.model, message.changes)
        return None
    assert isinstance(message, Retire | Stop)
    done: Future[Ended] = Future()
    orders.put((message, done))
    return done


def _index(engine: SharedEngine) -> bytes:
    try:
        index: bytes = engine.repository_index().SerializeToString()
    except ServerError as error:  # the repository cannot be read: with --exit-on-error=false the server still starts
        LOG.warning("%s", error)
        return b""
    return index


def _end(server: Server, engine: SharedEngine, order: _Order | None) -> bool:
    if order is None:
        LOG.error("the supervisor has ended, and so does this worker")
        return server.shutdown()
    message, done = order
    if isinstance(message, Retire):
        server.leave(message.timeout)
        report = engine.report(last=True)
        answered = server.shutdown(message.timeout)
    else:
        report = engine.report(last=True)
        answered = server.shutdown(message.timeout)
    done.set_result(Ended(answered, report))
    return answered


def _leave(status: int) -> NoReturn:
    """Without waiting for threads, which may be in foreign code."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
