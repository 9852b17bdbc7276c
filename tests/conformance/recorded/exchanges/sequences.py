"""Sequences as a Python model sees them: direct, oldest and iterative."""

from typing import Any

from conformance.recorded.kinds import Conversation, Counts, Generate, Infer, Stream
from conformance.recorded.wire import Request, Tensor


def step(model: str, sequence: int | str, value: int, *flags: str, batch: int = 1) -> Request:
    parameters: dict[str, Any] = {"sequence_id": sequence, **{f"sequence_{flag}": True for flag in flags}}
    return Request(
        model, (Tensor("X", "INT32", (batch, 1), (value,) * batch),), id=str(sequence), parameters=parameters
    )


def count(model: str, number: int, id: str = "", **parameters: Any) -> Request:  # noqa: A002
    return Request(model, (Tensor("COUNT", "INT32", (1, 1), (number,)),), id=id, parameters=parameters)


def direct(sequence: int | str, value: int, *flags: str) -> Request:
    return step("sequence_direct", sequence, value, *flags)


def oldest(sequence: int | str, value: int, *flags: str) -> Request:
    return step("sequence_oldest", sequence, value, *flags)


TWO = (
    direct(1, 1, "start"),
    direct(2, 10, "start"),
    direct(2, 20),
    direct(1, 2),
    direct(2, 30, "end"),
    direct(1, 3, "end"),
)

EXCHANGES = [
    Conversation("direct", (direct(5, 1, "start"), direct(5, 2), direct(5, 3, "end"))),
    Conversation("direct over gRPC", (direct(5, 1, "start"), direct(5, 2), direct(5, 3, "end")), via="grpc"),
    Conversation("direct, two: the rows of who waits are not ready", TWO),
    Conversation("direct, all in one", (direct(6, 1, "start", "end"), direct(6, 2, "start", "end"))),
    Conversation("direct, without a start", (direct(7, 1),), says=("START",)),
    Conversation("direct, after its end", (direct(8, 1, "start", "end"), direct(8, 1)), says=("START",)),
    Conversation("direct, without an id", (Request("sequence_direct", direct(1, 1).inputs),), says=("correlation ID",)),
    Conversation("direct, a batch of two", (step("sequence_direct", 9, 1, "start", batch=2),), says=("sequence",)),
    Conversation("direct, started anew", (direct(3, 1, "start"), direct(3, 5, "start"), direct(3, 1, "end"))),
    Stream("direct on a stream", (direct(5, 1, "start"), direct(5, 2), direct(5, 3), direct(5, 4, "end"))),
    Conversation("oldest", (oldest(20, 1, "start"), oldest(21, 5, "start"), oldest(20, 2), oldest(21, 6, "end"),
                            oldest(20, 3, "end"))),
    Conversation("oldest over gRPC", (oldest(20, 1, "start"), oldest(20, 3, "end")), via="grpc"),
    Stream("oldest on a stream", (oldest(22, 1, "start"), oldest(22, 2), oldest(22, 3, "end"))),
    Counts("counters of direct", "sequence_direct"),
    Counts("counters of oldest", "sequence_oldest"),
    Infer("iterative", count("iterative", 3)),
    Infer("iterative, one step", count("iterative", 1)),
    Infer("iterative, an id of its own", count("iterative", 2, sequence_id=1234, sequence_start=True)),
    Infer("iterative, handed back with a response", count("iterative", 99), says=("None",)),
    Infer("iterative, after that", count("iterative", 2)),
    Generate("iterative, generate", "iterative", {"COUNT": [3]}),
    Stream("iterative and decoupled", (count("iterative_decoupled", 3, id="a"),)),
    Stream("iterative and decoupled, two at once",
           (count("iterative_decoupled", 3, id="a"), count("iterative_decoupled", 4, id="b"))),
    Generate("iterative and decoupled, generate", "iterative_decoupled", {"COUNT": [1]}),
    Generate("iterative and decoupled, more than one", "iterative_decoupled", {"COUNT": [3]}),
    Counts("counters of iterative", "iterative"),
    Counts("counters of iterative and decoupled", "iterative_decoupled"),
]  # fmt: skip
