"""What a model asks of the server besides inferences: to log, to keep metrics, to control models."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from tcli_server.backends import Host
from tcli_server.backends.python.custom_metrics import WorkerMetrics
from tcli_server.backends.python.log import write_log
from tcli_server.backends.python.model_control import Result, WorkerModelControl
from tcli_server.backends.python.stub.wire import Message
from tcli_server.errors import ServerError
from tcli_server.observability.custom_metrics import CustomMetrics
from tcli_server.observability.log import LOG


class Worker(Protocol):
    """Who asks."""

    def tell(self, message: Message) -> None:
        """Tell it something, without waiting; what is gone hears nothing."""


class Services:
    """Those of one worker. Nothing waits here, so its messages may be handled as they come.

    Args:
        model_name: for the log.
        host: None where no server runs the model: its metrics are shown nowhere then, and it controls no models.

    Attributes:
        handlers: by the kinds of the worker's messages; each takes the worker and the message.
    """

    def __init__(self, model_name: str, host: Host | None) -> None:
        self._model_name = model_name
        self._metrics = WorkerMetrics(CustomMetrics() if host is None else host.custom_metrics)
        self._control = WorkerModelControl(host)
        self.handlers: dict[str, Callable[[Worker, Message], None]] = {
            "log": self._log,
            **dict.fromkeys(WorkerMetrics.KINDS, self._measure),
            **dict.fromkeys(WorkerModelControl.KINDS, self._control_models),
        }

    def close(self) -> None:
        """The worker is gone: let go of what is held for it."""
        self._metrics.close()
        self._control.close()

    def _log(self, _: Worker, message: Message) -> None:
        write_log(self._model_name, message)

    def _measure(self, worker: Worker, message: Message) -> None:
        _answer(worker, message, self._metrics.answer)

    def _control_models(self, worker: Worker, message: Message) -> None:
        _answer(worker, message, self._control.answer)


def _answer(worker: Worker, message: Message, do: Callable[[str, Message], Result]) -> None:
    call = message.get("call")
    try:
        result = do(message["kind"], message)
    except Exception as error:
        _refuse(worker, call, error)
        return
    if call is None:
        return
    if isinstance(result, Future):
        result.add_done_callback(lambda done: _hand_on(worker, call, done))
    else:
        worker.tell({**result, "call": call})


def _hand_on(worker: Worker, call: int, done: "Future[dict[str, Any]]") -> None:
    error = done.exception()
    if error is not None:
        _refuse(worker, call, error)
    else:
        worker.tell({**done.result(), "call": call})


def _refuse(worker: Worker, call: int | None, error: BaseException) -> None:
    text = str(error)
    if not isinstance(error, ServerError):
        LOG.error("what a model asked could not be done", exc_info=error)
        text = f"{type(error).__name__}: {error}"
    if call is not None:
        worker.tell({"call": call, "error": text})
