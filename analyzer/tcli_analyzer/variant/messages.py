"""What goes to a variant's process and comes back, pickled: both are this program."""

import os
import pickle
import queue
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import IO, Any

from tcli_analyzer.inputs import Source
from tcli_analyzer.load import Load
from tcli_analyzer.measuring.visit import VisitOptions


@dataclass(frozen=True, slots=True)
class LoadModel:
    """Load the model; answered by its complete configuration, serialized.

    Attributes:
        config: instead of its own, serialized.
    """

    config: bytes | None


@dataclass(frozen=True, slots=True)
class MakeRequests:
    """Make the requests for the visits to come; answered by their number.

    Attributes:
        items: inferences in each.
    """

    source: Source
    items: int


@dataclass(frozen=True, slots=True)
class Visit:
    """Measure; answered by the windows."""

    load: Load
    options: VisitOptions


@dataclass(frozen=True, slots=True)
class StartLoad:
    """Put the model under a load that goes on; answered by the processes whose processor time is the model's."""

    load: Load
    items: int


@dataclass(frozen=True, slots=True)
class AskProgress:
    """How far the window of that load is; answered by its `Progress`."""


@dataclass(frozen=True, slots=True)
class CutWindow:
    """End that window; answered by it.

    Attributes:
        at_ns: of `perf_counter_ns`, which is one clock for all processes of a machine.
    """

    at_ns: int


@dataclass(frozen=True, slots=True)
class EndLoad:
    """End that load, once all is answered; answered by True."""


@dataclass(frozen=True, slots=True)
class MeasureLimit:
    """Measure what the load generator can do at most with the requests that were made; answered by a `GeneratorLimit`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Instead of any answer: the server refused, in its words.

    Attributes:
        is_stuck: it does not answer any more: the process is of no use.
    """

    message: str
    is_stuck: bool = False


Message = LoadModel | MakeRequests | MeasureLimit | Visit | StartLoad | AskProgress | CutWindow | EndLoad


def send(pipe: IO[bytes], value: Any) -> None:
    """Write one.

    Raises:
        OSError: the other side is gone.
    """
    pipe.write(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Read one.

    Raises:
        EOFError: the other side is gone, perhaps in the middle of it.
    """
    try:
        return pickle.load(pipe)
    except pickle.UnpicklingError as error:
        raise EOFError(f"it was cut off: {error}") from None


def read_into(messages: "queue.SimpleQueue[Any]") -> None:
    """Put there what comes on the standard input, in a thread; this process ends at once when that ends.

    Whoever asks is gone then, and nobody wants what this process is busy with: a model that loads for ever, or a load that slows
    down everything else. An end without `os._exit` would wait for the thread.
    """
    threading.Thread(target=_read, args=(messages,), daemon=True).start()


def _read(messages: "queue.SimpleQueue[Any]") -> None:
    try:
        while True:
            messages.put(receive(sys.stdin.buffer))
    except (EOFError, OSError):
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # whoever asked would wait for an answer
