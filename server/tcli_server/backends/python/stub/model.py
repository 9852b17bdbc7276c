"""The user's `TritonPythonModel`: imported, told how to begin, asked, and told to end."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import sys
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import failures
from .coroutines import Coroutines
from .errors import TritonModelException
from .link import Link
from .model_config import ModelConfig
from .requests import RELEASE_RESCHEDULE, InferenceRequest
from .responses import Answered, InferenceResponse, InferenceResponseSender, encode
from .tensors import read
from .wire import Message

_CLASS = "TritonPythonModel"
_NOTHING = np.empty(0, np.uint8)


def import_class(path: str, package: str) -> Any:
    """The model's class; modules beside its file are found by their plain names.

    Args:
        package: the version, as the file is imported as `<version>.<stem>`; empty for code that models share, which is
            imported as `<stem>`.

    Raises:
        Exception: whatever importing it raises; AttributeError where it has no such class.
    """
    file = Path(path)
    sys.path += [str(file.parent), str(file.parent.parent)] if package else [str(file.parent)]
    name = f"{package}.{file.stem}" if package else file.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return getattr(module, _CLASS)


def auto_complete(model_class: Any, config: dict[str, Any]) -> dict[str, Any] | None:
    """What the model makes of its configuration; None if it has nothing to say.

    Raises:
        Exception: whatever the model raises.
    """
    function = getattr(model_class, "auto_complete_config", None)
    if function is None:
        return None
    completed = function(ModelConfig(config))
    if not isinstance(completed, ModelConfig):
        raise TritonModelException(
            f"auto_complete_config function in model '{config['name']}' must return a valid pb.ModelConfig object."
        )
    return completed.as_dict()


class Model:
    """An instance of the class, and the requests that it has not answered yet.

    Args:
        name: the instance's, for messages.
        decoupled: it answers through senders, any number of times.
    """

    def __init__(self, model_class: Any, name: str, path: str, decoupled: bool, link: Link) -> None:
        self._model = model_class()
        self._name = name
        self._path = path
        self._decoupled = decoupled
        self._link = link
        self._senders: weakref.WeakValueDictionary[int, InferenceResponseSender] = weakref.WeakValueDictionary()
        self._last = 0
        self._early: list[int] = []
        self._coroutines = Coroutines()

    def initialize(self, arguments: dict[str, str]) -> None:
        """Raises whatever the model raises."""
        if callable(getattr(self._model, "initialize", None)):
            self._model.initialize(arguments)

    def finalize(self) -> None:
        """Raises whatever the model raises."""
        if callable(getattr(self._model, "finalize", None)):
            self._model.finalize()

    @property
    def checks_readiness(self) -> bool:
        """Whether it has a word of its own on whether it is ready."""
        return callable(getattr(self._model, "is_ready", None))

    def cancel(self, number: int) -> None:
        """Nobody wants the answer to that request any more."""
        sender = self._senders.get(number)
        if sender is not None:
            sender.cancelled = True
        elif number > self._last:  # it is on its way
            self._early.append(number)

    def is_ready(self) -> list[Any]:
        """[whether the model says that it is ready, why not]"""
        if not self.checks_readiness:
            return [True, ""]
        try:
            answer = self._model.is_ready()
            if inspect.isawaitable(answer):
                answer = self._coroutines.run(_wait_for(answer))
        except Exception as error:
            return [False, failures.describe(error)[0]]
        if not isinstance(answer, bool):
            return [False, f"is_ready() must return a boolean value, found {type(answer).__name__}"]
        return [answer, "" if answer else f"Model '{self._name}' is not ready (user-defined check failed)"]

    def execute(self, order: Message) -> tuple[Message, int]:
        """Run one batch, or each of its requests alone: what to tell the server, and the block of the outputs, -1 for none."""
        requests, senders = self._received(order)
        if order["alone"]:
            return self._execute_each(requests, senders)
        self._link.progress[0] = len(requests)
        reply, answered = self._run(requests, senders)
        block, reply["answers"] = encode(answered, self._link.responses)
        return reply, block

    def _execute_each(
        self, requests: list[InferenceRequest], senders: list[InferenceResponseSender]
    ) -> tuple[Message, int]:
        """As many calls of `execute` as there are requests: a message for each would cost more than a small model does."""
        answered: list[Answered] = []
        places: list[int] = []
        failed: list[list[Any]] = []
        again: list[int] = []
        began_ns = time.monotonic_ns()
        for index in range(len(requests)):
            self._link.progress[0] = index + 1
            reply, answer = self._run(requests[index : index + 1], senders[index : index + 1])
            if answer:
                answered += answer
                places.append(index)
            elif "failure" in reply:
                failed.append([index, reply["failure"]])
            elif "again" in reply:
                again.append(index)
        block, answers = encode(answered, self._link.responses)
        took_ns = time.monotonic_ns() - began_ns
        return {"answers": answers, "places": places, "failed": failed, "again": again, "took_ns": took_ns}, block

    def _run(
        self, requests: list[InferenceRequest], senders: list[InferenceResponseSender]
    ) -> tuple[Message, list[Answered]]:
        """One call of `execute`."""
        try:
            if not callable(getattr(self._model, "execute", None)):
                raise TritonModelException(f"Python model {self._path} does not implement `execute` method.")
            result = self._model.execute(requests)
            if inspect.iscoroutine(result):
                if self._decoupled:
                    self._coroutines.begin(self._finish(result, senders))
                    return {}, []
                result = self._coroutines.run(result)
            self._check(result, len(requests))
            return self._reply(result, requests, senders)
        except Exception as error:
            if any(sender.closed for sender in senders):
                self._link.ask(
                    "settle", {}
                )  # final responses go another way than this failure, which must not overtake
            for sender in senders:
                sender.close()
            return {"failure": failures.describe(error)}, []

    def _received(self, order: Message) -> tuple[list[InferenceRequest], list[InferenceResponseSender]]:
        block, size = order["block"]
        root = self._link.requests.watched(block, size) if size else _NOTHING
        requests, senders = [], []
        for fields in order["requests"]:
            number, outputs = fields[0], fields[6]
            sender = InferenceResponseSender(number, outputs, self._decoupled)
            self._senders[number] = sender
            self._last = number
            if number in self._early:
                sender.cancelled = True
            requests.append(InferenceRequest._received(fields, read(fields[7], block, root), sender))
            senders.append(sender)
        if self._early:
            self._early = [number for number in self._early if number > self._last]
        return requests, senders

    def _check(self, result: Any, count: int) -> None:
        if result is None:
            return
        if self._decoupled:
            raise TritonModelException(
                f"Python model '{self._name}' is using the decoupled mode and the execute function must return None."
            )
        if not isinstance(result, list):
            raise TritonModelException(
                f"Expected a list in the execute return, found type '{type(result).__name__}' in model '{self._name}'."
            )
        if len(result) != count:
            raise TritonModelException(
                "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
                f"InferenceRequest(s) size is:{count}, and InferenceResponse(s) size is:{len(result)}"
            )
        for item in result:
            if item is not None and not isinstance(item, InferenceResponse):
                raise TritonModelException(
                    "Expected an 'InferenceResponse' object in the execute function return list, found type "
                    f"'{type(item).__name__}'."
                )

    def _reply(
        self, result: Any, requests: Sequence[InferenceRequest], senders: Sequence[InferenceResponseSender]
    ) -> tuple[Message, list[Answered]]:
        answered: list[Answered] = []
        places: list[int] = []
        again: list[int] = []
        for index, (request, sender) in enumerate(zip(requests, senders, strict=True)):
            response = result[index] if result is not None else None
            if request._release_flags == RELEASE_RESCHEDULE:
                if response is not None:
                    raise TritonModelException(
                        "Expected a None object in the execute function return list for reschduled request, found "
                        f"type '{type(response).__name__}'."
                    )
                again.append(index)
                sender.close()
            elif response is not None:
                if sender.used:
                    raise TritonModelException(
                        "the response sender of this request was used, so the list that execute returns must have None "
                        "in its place"
                    )
                sender.close()
                answered.append((response, request._outputs))
                places.append(index)
        reply: Message = {} if len(answered) == len(requests) else {"places": places}
        if again:
            reply["again"] = again
        return reply, answered

    async def _finish(self, coroutine: Any, senders: Sequence[InferenceResponseSender]) -> None:
        """See a decoupled coroutine to its end; an exception in it ends what it has not answered."""
        try:
            self._check(await coroutine, len(senders))
        except (Exception, asyncio.CancelledError) as error:
            failure = failures.describe(error)
            left = [sender for sender in senders if not sender.closed]
            for sender in left:
                sender.close()
            for sender in left or senders[:1]:  # who has all responses hears nothing of it, but the log does
                self._link.tell("failed", {"request": sender.number, "failure": failure})


async def _wait_for(awaitable: Any) -> Any:
    return await awaitable
