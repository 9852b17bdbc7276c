"""Stopping a measurement so that what was measured is kept."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

EXIT_INTERRUPTED = 130


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """The first SIGINT or SIGTERM sets the event, so that what was measured is kept; a second SIGINT ends at once."""
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def end_at_once() -> Iterator[None]:
    """Within `stop_on_signals`: here the first SIGINT or SIGTERM ends at once, as there is nothing to be kept."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
