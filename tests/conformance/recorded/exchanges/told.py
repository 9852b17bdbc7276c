"""What a model is told of a request and of itself."""

from conformance.recorded.kinds import Conversation, Generate, Infer, Stream
from conformance.recorded.wire import Request, Tensor

NUMBERS = Tensor("X", "INT32", (2,), (3, -4))
TEXT = Tensor("T", "BYTES", (2,), ("ä", ""))
SOME = {"text": "tëxt", "number": -7, "flag": True, "off": False, "big": 2**40}

EXCHANGES = [
    Infer("nothing but the request", Request("echo")),
    Infer("inputs", Request("echo", (TEXT, NUMBERS))),
    Infer("inputs in binary", Request("echo", (NUMBERS, TEXT)), binary=True),
    Infer("an input without elements", Request("echo", (Tensor("X", "INT32", (0,), ()),)), binary=True),
    Infer("id", Request("echo", id="a/b c")),
    Infer("one output", Request("echo", outputs=("JSON",))),
    Infer("both outputs", Request("echo", outputs=("OTHER", "JSON"))),
    Infer("parameters", Request("echo", parameters=SOME)),
    Infer("a parameter that is no whole number", Request("echo", parameters={"half": 0.5, "whole": 2.0})),
    Infer("timeout and priority", Request("echo", parameters={"timeout": 60_000_000, "priority": 2})),
    Infer(
        "a sequence's request to a model without sequences",
        Request("echo", parameters={"sequence_id": 42, "sequence_start": True, "sequence_end": True}),
    ),
    Infer("a sequence of a text", Request("echo", parameters={"sequence_id": "forty-two", "sequence_start": True})),
    Infer("a largest sequence id", Request("echo", parameters={"sequence_id": 2**63 - 1, "sequence_end": True})),
    Infer("a longest text", Request("echo", parameters={"sequence_id": "x" * 128, "sequence_start": True})),
    Infer(
        "too long a text", Request("echo", parameters={"sequence_id": "x" * 129, "sequence_start": True}), says=("128",)
    ),
    Infer("what it was initialized with", Request("echo", parameters={"args": True})),
    Stream("on a stream", tuple(Request("echo", (NUMBERS,), ("OTHER",), id=name) for name in "abc"), ordered=True),
    Conversation(
        "one after the other", tuple(Request("echo", id=str(number), outputs=("OTHER",)) for number in (1, 2, 3))
    ),
    Generate("generate", "echo", {"X": [1, 2], "T": "text", "extra": 5, "parameters": {"deep": "value"}, "id": "me"}),
    Generate("generate, nothing", "echo", {}),
]
