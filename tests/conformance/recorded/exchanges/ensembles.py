"""Ensembles of Python models: plain, nested, failing, decoupled, in a sequence."""

from conformance.recorded.exchanges.decoupled import repeat
from conformance.recorded.exchanges.sequences import step
from conformance.recorded.kinds import Conversation, Counts, Generate, Get, Infer, Stream
from conformance.recorded.wire import Request, Tensor


def numbers(model: str, batch: int = 1, outputs: tuple[str, ...] = (), id: str = "") -> Request:  # noqa: A002
    values = ((1, 2, 3, 4), (5, 6, 7, 8))
    inputs = tuple(
        Tensor(name, "FP32", (batch, 4), row * batch) for name, row in zip(("A", "B"), values, strict=True)
    )  # fmt: skip
    return Request(model, inputs, outputs, id)


def fails(what: str, model: str = "failing", id: str = "") -> Request:  # noqa: A002
    return Request(model, (Tensor("WHAT", "BYTES", (1, 1), (what,)),), id=id)


EXCHANGES = [
    Infer("two steps", numbers("pipeline", id="p")),
    Infer("two steps, a batch", numbers("pipeline", 4)),
    Infer("two steps, in binary", numbers("pipeline"), binary=True),
    Infer("two steps, too large a batch", numbers("pipeline", 5), says=("batch-size must be <= 4",)),
    Infer("the output of the first step", numbers("pipeline", outputs=("SUM",))),
    Infer("the output of the last step", numbers("pipeline", outputs=("LAST",))),
    Infer("an unknown output", numbers("pipeline", outputs=("NOBODY",)), says=("NOBODY",)),
    Infer("nested", numbers("nested", 2)),
    Infer("nested, too large a batch", numbers("nested", 3), says=("batch-size must be <= 2",)),
    Infer("an input missing", Request("pipeline", numbers("pipeline").inputs[:1]), says=("expected 2 inputs but got 1",)),
    Infer("a step that fails", fails("exception"), says=("in ensemble 'failing'", "the value is über all limits")),
    Infer("a step that fails with a code", fails("code UNAVAILABLE", id="x"), says=("in ensemble 'failing'", "with UNAVAIL")),
    Infer("a step that fails, nested", fails("code NOT_FOUND", "failing_nested"),
          says=("in ensemble 'failing_nested', ", "in ensemble 'failing', ", "with NOT_FOUND")),
    Infer("a step without an output", fails("fine")),
    Infer("a step without any output", fails("no_outputs")),
    Infer("a step's response parameters", fails("parameters")),
    Infer("what a step is told", Request(
        "told", id="e", parameters={"a": "b", "sequence_id": 9, "sequence_start": True})),
    Infer("what a step is told, with its optional input", Request("told", (Tensor("X", "INT32", (1,), (1,)),))),
    Stream("decoupled", (repeat(1, 2, 3, model="stream", id="a"),), folded=True),
    Stream("decoupled, nothing", (repeat(model="stream", id="a"),), folded=True),
    Stream("decoupled, from a thread", (repeat(1, 2, how="thread", model="stream"),), folded=True),
    Stream("decoupled, only an error", (repeat(1, how="only_an_error", model="stream", id="a"),),
           says=("in ensemble 'stream'", "nothing else")),
    Infer("decoupled, infer", repeat(1, model="stream"), says=("decoupled",)),
    Generate("decoupled, generate", "stream", {"IN": [5]}),
    Generate("generate", "pipeline", {"A": [1, 2, 3, 4], "B": [1, 1, 1, 1]}),
    Conversation("in a sequence", (step("in_sequence", 31, 1, "start"), step("in_sequence", 31, 2),
                                   step("in_sequence", 31, 3, "end"))),
    Conversation("in a sequence, without a start", (step("in_sequence", 32, 1),), says=("START",)),
    Get("metadata", "models/pipeline"),
    Get("configuration of what is decoupled", "models/stream/config", ("name", "platform", "model_transaction_policy")),
    Counts("counters", "pipeline"),
    Counts("counters of what fails", "failing"),
]  # fmt: skip
