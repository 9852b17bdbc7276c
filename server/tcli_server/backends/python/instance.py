"""One instance of a Python model: requests into its worker, answers out of it."""

import itertools
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from tcli_server.backends import Answer, Call, Surroundings, UnservedError
from tcli_server.backends.python.failures import failure
from tcli_server.backends.python.inferences import Inferences
from tcli_server.backends.python.process import WorkerGoneError, WorkerProcess
from tcli_server.backends.python.readiness import ReadinessCheck
from tcli_server.backends.python.stub.memory import FullError
from tcli_server.backends.python.stub.wire import Message
from tcli_server.backends.python.supervisor import Handle, Start, Supervisor
from tcli_server.backends.python.tensors import read, write
from tcli_server.errors import ErrorKind, InternalError, ServerError, UnavailableError, error_of_kind
from tcli_server.observability.log import LOG
from tcli_server.request import RequestTrace

_LIGHT = 1 << 18
"""Bytes of outputs that are copied in next to no time."""

KINDS = tuple(ErrorKind)
"""By Triton's numbers of its error codes."""


class PythonInstance:
    """Runs batches of requests in a worker.

    Args:
        start: see `Start`.
        load: the order that makes it load the model.
        limit_secs: how long `execute` may take; None for as long as it likes.

    Attributes:
        signature: None, as only the configuration tells.
        took_ns: as `AnsweringInstance.took_ns`.

    Raises:
        ServerError: the process cannot be started, or the model does not load.
    """

    signature = None
    steady = False
    lanes = 1

    def __init__(
        self,
        name: str,
        start: Start,
        load: Message,
        limit_secs: float | None,
        surroundings: Surroundings,
    ) -> None:
        self._name = name
        self._failing = f"Failed to process the request(s) for model '{name}'", ", message: "
        self.took_ns = 0
        self._limit_secs = limit_secs
        self._numbers = itertools.count(1)
        self._open: dict[int, Call] = {}
        self._ordered: frozenset[int] = frozenset()  # those of the present order, or the last one
        self._loss: tuple[WorkerProcess, WorkerGoneError] | None = None
        self._decoupled: bool = load["decoupled"]
        self._dead: WorkerProcess | None = None
        self._none_open = threading.Condition()
        self._handlers: dict[str, Handle] = {
            "respond": self._respond,
            "abandoned": self._abandoned,
            "failed": self._failed,
            "settle": lambda process, message: process.tell({"call": message["call"]}),  # all before it is done
        }
        self._inferences = Inferences(surroundings.host, self._trace_of)
        self._handlers.update(self._inferences.handlers)
        self._readiness = ReadinessCheck(name, lambda message: self._supervisor.process.tell(message))
        self._handlers["ready"] = lambda _, message: self._readiness.answered(message)
        self._supervisor = Supervisor(name, start, load, self._handle, self._lost)

    # --- as Instance ---

    def prepare(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Instance.prepare`."""
        return inputs

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> list[np.ndarray]:
        """As `Instance.run`, which nobody calls: a Python model gets its requests."""
        raise NotImplementedError

    @property
    def fit(self) -> bool:
        """As `AnsweringInstance.fit`."""
        return self._supervisor.fit

    @property
    def generation(self) -> int:
        """As `AnsweringInstance.generation`."""
        return self._supervisor.deaths

    def await_fit(self, secs: float) -> bool:
        """As `AnsweringInstance.await_fit`."""
        self._supervisor.await_fit(secs)
        return self._supervisor.fit or bool(self._supervisor.failing)

    def check_ready(self) -> "Future[bool] | None":
        """As `AnsweringInstance.check_ready`."""
        return self._readiness.ask() if self._supervisor.checks and self.fit else None

    @property
    def restarts(self) -> int:
        """Workers that took the place of others."""
        return self._supervisor.restarts

    @property
    def memory_size(self) -> int:
        """Bytes of shared memory that its worker has."""
        return self._supervisor.process.memory_size

    def begin(self, calls: Sequence[Call], alone: bool = False) -> "_Order":
        """As `AnsweringInstance.begin`."""
        process = self._supervisor.process
        if not self.fit:
            failing = self._supervisor.failing
            raise UnavailableError(failing) if failing else self._replaced()
        numbers = [next(self._numbers) for _ in calls]
        self._ordered = frozenset(numbers)
        for number, call in zip(numbers, calls, strict=True):
            self._open[number] = call
            call.number, call.on_end = number, self._ended
            if call.request.ended:
                self._ended(call)
        try:
            process.begin_order(self._order(process, numbers, calls, alone))
        except BaseException:
            for number in numbers:
                self._close(number)
            raise
        return _Order(process, numbers, alone)

    def descriptor(self, order: "_Order") -> int | None:
        """As `AnsweringInstance.descriptor`."""
        return order.process.order_descriptor if self._limit_secs is None else None

    def is_done(self, order: "_Order") -> bool | None:
        """As `AnsweringInstance.is_done`."""
        try:
            order.reply = order.process.order_answer()
        except OSError:
            return None
        if order.reply is None:
            return False
        return True if _is_light(order.reply) else None

    def end(self, order: "_Order") -> list[Answer | None]:
        """As `AnsweringInstance.end`."""
        process, numbers, reply = order.process, order.numbers, order.reply
        try:
            if reply is None:
                reply = process.end_order(self._limit_secs)
            failure(reply, *self._failing)
        except WorkerGoneError as error:
            return self._rest(process, error, numbers, order.alone)
        except BaseException:
            for number in numbers:
                self._close(number)
            raise
        self._ordered = frozenset()
        answers = self._answers(reply, numbers, process)
        if (
            self._loss is not None and self._loss[0] is process
        ):  # it died after its reply: these were not looked at then
            self._lose(numbers, self._loss[1])
        return answers

    def _order(self, process: WorkerProcess, numbers: Sequence[int], calls: Sequence[Call], alone: bool) -> Message:
        try:
            block, inputs = write([call.inputs for call in calls], process.requests)
        except FullError as error:
            raise UnavailableError(f"instance '{self._name}': {error}") from None
        except OSError:
            if process.over:  # its memory was closed meanwhile
                raise self._replaced() from None
            raise
        try:
            described = [
                _fields(number, call, tensors) for number, call, tensors in zip(numbers, calls, inputs, strict=True)
            ]
        except BaseException:  # parameters that are no JSON
            if block[1]:
                process.requests.give_back(block[0])
            raise
        return {"kind": "execute", "block": block, "requests": described, "alone": alone}

    def _replaced(self) -> UnservedError:
        return UnservedError(f"the process of instance {self._name} is being replaced")

    def _rest(
        self, process: WorkerProcess, error: WorkerGoneError, numbers: Sequence[int], alone: bool
    ) -> list[Answer | None]:
        """What becomes of requests whose worker is gone: all but those that it was running are for the next one.

        Nor are those that its senders have answered. What a decoupled model has begun it may still have been running.
        """
        self._supervisor.note_end(process)  # or who is spared would be given to it again
        calls = [self._close(number) for number in numbers]
        begun = 0 if process is self._dead else process.begun  # what it had begun before it ended is told already
        self._dead = process
        first = begun - 1 if alone and not self._decoupled else 0
        spared = UnservedError(str(error))
        return [
            Answer({}, {}, error if call is None or first <= place < begun else spared)
            for place, call in enumerate(calls)
        ]

    def close(self) -> None:
        """As `Instance.close`: waits for what is answered later, and lets the model finalize."""
        with self._none_open:
            self._none_open.wait_for(lambda: not self._open)
        self._supervisor.close()
        self._inferences.close()

    # --- what becomes of requests ---

    def _answers(self, reply: Message, numbers: Sequence[int], process: WorkerProcess) -> list[Answer | None]:
        self.took_ns = reply.get("took_ns", 0)
        answers: list[Answer | None] = [None] * len(numbers)
        given = reply.get("answers", ())
        places = reply.get("places") or range(len(given))
        for place, answer in zip(places, given, strict=True):
            answers[place] = _answer(answer, process)
            self._close(numbers[place])
        for place, failed in reply.get("failed", ()):
            try:
                failure({"failure": failed}, *self._failing)
            except ServerError as error:
                answers[place] = Answer({}, {}, error)
            self._close(numbers[place])
        for place in reply.get("again", ()):
            call = self._close(numbers[place])
            if call is not None:  # else its sender has sent the final response
                call.again = True
        return answers

    def _close(self, number: int) -> Call | None:
        """The request is answered as far as the worker is concerned."""
        call = self._open.pop(number, None)
        if call is not None and not self._open:
            with self._none_open:
                self._none_open.notify_all()
        return call

    def _ended(self, call: Call) -> None:
        """The request has ended; if the worker still thinks of it, it may stop."""
        if call.number in self._open:
            self._supervisor.process.tell({"kind": "cancel", "request": call.number})

    def _lost(self, error: WorkerGoneError) -> None:
        """The worker is gone, and with it whatever it would have answered later."""
        self._inferences.close()
        self._readiness.lost()
        self._loss = self._supervisor.process, error
        self._lose(self._open.keys() - self._ordered, error)

    def _lose(self, numbers: Iterable[int], error: WorkerGoneError) -> None:
        for number in numbers:
            call = self._close(number)
            if call is not None:
                call.respond(Answer({}, {}, error), True)

    # --- what the worker says at any time ---

    def _handle(self, process: WorkerProcess, message: Message) -> None:
        self._handlers[message["kind"]](process, message)

    def _respond(self, process: WorkerProcess, message: Message) -> None:
        number, final = message["request"], message["final"]
        call = self._close(number) if final else self._open.get(number)
        answer = message.get("answer")
        if answer is None:
            if call is not None:
                call.finish()
            return
        taken = {"call": message["call"]}
        if call is None:
            process.tell(taken)
            return
        call.respond(_answer(answer, process), final)
        call.request.when_room(lambda: process.tell(taken))

    def _trace_of(self, number: int) -> RequestTrace | None:
        call = self._open.get(number)
        return None if call is None else call.request.trace

    def _abandoned(self, _: WorkerProcess, message: Message) -> None:
        call = self._close(message["request"])
        if call is not None and not call.request.ended:
            LOG.warning("instance '%s' let go of a request without a final response; it is ended for it", self._name)
            error = InternalError(f"model '{self._name}' ended without a final response to this request")
            call.respond(Answer({}, {}, error), True)

    def _failed(self, _: WorkerProcess, message: Message) -> None:
        call = self._close(message["request"])
        try:
            failure(message, *self._failing)
        except ServerError as error:
            if call is not None:
                call.respond(Answer({}, {}, error), True)


@dataclass(slots=True)
class _Order:
    """A batch that a worker has.

    Attributes:
        reply: the worker's, once it has come.
    """

    process: WorkerProcess
    numbers: Sequence[int]
    alone: bool
    reply: Message | None = None


def _is_light(reply: Message) -> bool:
    """Whether taking the outputs takes so little time that any thread may do it."""
    size: int = sum(description[4] for answer in reply.get("answers", ()) for description in answer[0])
    return size <= _LIGHT


def _answer(answer: list[Any], process: WorkerProcess) -> Answer:
    descriptions, error, parameters = answer
    if error is not None:
        kind = KINDS[error[0]] if 0 <= error[0] < len(KINDS) else ErrorKind.UNKNOWN
        return Answer({}, parameters, error_of_kind(kind, error[1]))
    return Answer(read(descriptions, process.responses), parameters)


def _fields(number: int, call: Call, tensors: list[Any]) -> list[Any]:
    """A request as the worker reads it, see `InferenceRequest._received`."""
    request = call.request
    flags = (1 if request.sequence_start else 0) | (2 if request.sequence_end else 0)
    parameters = json.dumps(request.parameters) if request.parameters else "{}"
    timeout = request.timeout_us
    context = None if request.trace is None else request.trace.carrier
    return [number, request.id, request.sequence_id, flags, timeout, parameters, call.outputs, tensors, context]
