"""Models that answer as often as they like."""

from conformance.recorded.kinds import Cancelled, Counts, Generate, Infer, Stream
from conformance.recorded.wire import Request, Tensor

HOWS = (
    "plain",
    "thread",
    "final_with_the_last",
    "parameters",
    "error_in_the_middle",
    "error_at_the_end",
    "only_an_error",
    "exception",
    "exception_after_one",
    "sender_says",
    "return_something",
)
SAYS = {
    "error_in_the_middle": ("no 6",),
    "error_at_the_end": ("the last",),
    "only_an_error": ("nothing else",),
    "exception": ("before any response",),
    "exception_after_one": ("after one response",),
}


def repeat(*values: int, how: str = "", id: str = "", outputs: tuple[str, ...] = (), model: str = "repeat") -> Request:  # noqa: A002
    inputs = [Tensor("IN", "INT32", (len(values),), values)]
    if how:
        inputs.append(Tensor("HOW", "BYTES", (1,), (how,)))
    return Request(model, tuple(inputs), outputs, id)


def completed(count: int) -> Request:
    return Request("auto_decoupled", (Tensor("COUNT", "INT32", (1,), (count,)),))


EXCHANGES = [
    *(Stream(how, (repeat(5, 6, 7, how=how, id="a"),), says=SAYS.get(how, ())) for how in HOWS),
    Stream("plain, without the empty final", (repeat(5, 6, 7, id="a"),), empty_final=False),
    Stream(
        "final with the last, without the empty final", (repeat(5, 6, how="final_with_the_last"),), empty_final=False
    ),
    Stream("no response", (repeat(id="a"),)),
    Stream("no response, without the empty final", (repeat(id="a"),), empty_final=False),
    Stream("one response", (repeat(1),)),
    Stream("a hundred responses", (repeat(*range(100)),)),
    Stream("three at once", tuple(repeat(*range(index, 9), id=str(index)) for index in range(3))),
    Stream(
        "three at once, in threads", tuple(repeat(*range(index, 9), id=str(index), how="thread") for index in range(3))
    ),
    Stream("one output", (repeat(1, 2, outputs=("IDX",)),)),
    Stream("an unknown output", (repeat(1, 2, outputs=("NOBODY",), id="a"),), says=("NOBODY",)),
    Stream("wrong type", (Request("repeat", (Tensor("IN", "FP32", (1,), (1,)),), id="a"),), says=("IN",)),
    Stream("unknown model", (repeat(1, model="nobody", id="a"),), says=("nobody",)),
    Stream("one wrong, others right", (repeat(1, id="a"), repeat(1, model="nobody", id="b"), repeat(3, id="c"))),
    Infer("infer", repeat(1), says=("decoupled",)),
    *(
        Generate(f"generate, {how}, {len(values)}", "repeat", {"IN": values, "HOW": how}, says=SAYS.get(how, ()))
        for how, values in (
            ("plain", [1]),
            ("plain", [1, 2]),
            ("thread", [4]),
            ("final_with_the_last", [4]),
            ("parameters", [4]),
            ("only_an_error", [4]),
            ("exception", [4]),
            ("error_at_the_end", [4]),
        )
    ),
    Generate("generate, one number", "repeat", {"IN": 3}),
    Generate("generate, wrong type", "repeat", {"IN": "text"}),
    Generate("generate, an input missing", "repeat", {"HOW": "plain"}, says=("IN",)),
    Stream("completed by itself", (completed(2),)),
    Stream("coroutine", (repeat(1, 2, 3, model="async_repeat"),)),
    Stream(
        "coroutine, the second lets the first go on",
        (repeat(-1, 2, id="a", model="async_repeat"), repeat(0, 3, id="b", model="async_repeat")),
    ),
    Generate("generate from a coroutine", "async_repeat", {"IN": [8]}),
    Cancelled("cancelled", repeat(1, how="until_cancelled"), repeat(1, how="was_cancelled")),
    Counts("counters", "async_repeat"),
]
