"""Business logic scripting: models that call models."""

import json
from typing import Any

from conformance.recorded.kinds import Conversation, Infer
from conformance.recorded.wire import Request, Tensor

ADD = {"model": "add_sub", "inputs": {f"INPUT{index}": ["float32", [[1, 2, 3, 4]]] for index in (0, 1)}}
WHOLE = {"inputs": {"IN": ["int32", [4, 5]]}, "model": "repeat"}


def call(how: str = "exec", **given: Any) -> Request:
    text = json.dumps({"how": how, **given})
    return Request("bls", (Tensor("CALL", "BYTES", (1,), (text,)),))


def calls(how: str, *given: dict[str, Any]) -> Request:
    text = json.dumps({"how": how, "calls": given})
    return Request("async_bls", (Tensor("CALL", "BYTES", (1,), (text,)),))


def fails(what: str) -> dict[str, Any]:
    return {"model": "errors", "inputs": {"WHAT": ["object", [[what]]]}}


def asked(name: str, request: Request, *says: str) -> Conversation:
    return Conversation(name, (request,), says=says)


HALF = {"model": "add_sub", "inputs": {"INPUT0": ["float32", [[1, 2, 3, 4]]]}}
SHORT = {"model": "add_sub", "inputs": {name: ["float32", [[1]]] for name in ("INPUT0", "INPUT1")}}

EXCHANGES = [
    asked("exec", call(**ADD)),
    asked("exec for one output", call(**ADD, outputs=["OUTPUT1"])),
    asked("exec for an unknown output", call(**ADD, outputs=["NOBODY"]), "NOBODY"),
    asked("exec of a version", call(**ADD, model_version=1)),
    asked("exec of an absent version", call(**ADD, model_version=9), "add_sub"),
    asked("exec of an unknown model", call(**{**ADD, "model": "nobody"}), "nobody"),
    asked("exec without an input", call(**HALF), "expected 2 inputs but got 1"),
    asked("exec of the wrong shape", call(**SHORT), "shape"),
    asked("exec of what fails", call(**fails("exception")), "the value is über all limits"),
    asked("exec of what fails with a code", call(**fails("code NOT_FOUND")), "with NOT_FOUND"),
    asked("an error that is handled", call("error_handled", **fails("exception"))),
    asked("exec with parameters in the answer", call(**fails("parameters"))),
    asked("exec with id, timeout, parameters", call(
        model="echo", inputs={}, outputs=["JSON"], request_id="mine", timeout=5_000_000, correlation_id=77, flags=3,
        parameters={"a": 1, "b": True, "c": "d"},
    )),
    asked("exec with a text for correlation", call(model="echo", inputs={}, outputs=["JSON"], correlation_id="seventy")),
    asked("exec of a decoupled model", call(**WHOLE), "decoupled"),
    asked("decoupled", call("decoupled", **WHOLE)),
    asked("decoupled, for one output", call("decoupled", **WHOLE, outputs=["IDX"])),
    asked("decoupled of a plain model", call("decoupled", **ADD)),
    asked("decoupled with an error in the middle", call(
        "decoupled", model="repeat", inputs={"IN": ["int32", [5, 6, 7]], "HOW": ["object", ["error_in_the_middle"]]}
    ), "no 6"),
    asked("decoupled with nothing", call("decoupled", model="repeat", inputs={"IN": ["int32", []]})),
    asked("decoupled of an unknown model", call("decoupled", **{**WHOLE, "model": "nobody"}), "nobody"),
    asked("the iterator twice", call("twice", **WHOLE)),
    asked("only the first", call("first_only", **WHOLE)),
    asked("exec from threads", call("threads", **ADD)),
    asked("the same request twice", call("reused", **ADD)),
    asked("an answer passed on", call("passed_on", **ADD)),
    asked("a sequence", call("sequence", model="sequence_oldest", inputs={"X": ["int32", [[5]]]}, correlation_id=41)),
    asked("a sequence without an id", call(model="sequence_oldest", inputs={"X": ["int32", [[5]]]}), "correlation ID"),
    asked("an ensemble", call(model="nested", inputs={
        "A": ["float32", [[1, 2, 3, 4]]], "B": ["float32", [[1, 1, 1, 1]]]}, outputs=["Z"])),
    asked("in initialize", call("in_initialize"), "execute"),
    asked("async_exec", calls("gather", ADD, ADD, {**ADD, "outputs": ["OUTPUT0"]})),
    asked("async_exec of what fails", calls("gather", ADD, fails("code UNAVAILABLE"), {**ADD, "model": "nobody"})),
    asked("async_exec of decoupled models", calls("decoupled", WHOLE, WHOLE)),
    asked("async_exec of a decoupled model without saying so", calls("gather", WHOLE), "decoupled"),
    Infer("an exception in a coroutine", calls("raise"), says=("in a coroutine",)),
]  # fmt: skip
