"""Answers of `execute` that are wrong or unusual, and what the client sees of them."""

from conformance.recorded.kinds import Counts, Generate, Infer, Stream
from conformance.recorded.wire import Request, Tensor

CODES = ("UNKNOWN", "INTERNAL", "NOT_FOUND", "INVALID_ARG", "UNAVAILABLE", "UNSUPPORTED", "ALREADY_EXISTS", "CANCELLED")


def asks(what: str, batch: int = 1, outputs: tuple[str, ...] = (), id: str = "") -> Request:  # noqa: A002
    return Request("errors", (Tensor("WHAT", "BYTES", (batch, 1), (what,) * batch),), outputs, id)


SAYS = {
    "default_code": "it failed",
    "error_and_outputs": "outputs do not count",
    "exception": "the value is über all limits",
    "exception_of_two_lines": "first line",
    "model_exception": "of the model's own kind",
    "deep": "nobody",
    "too_many": "2",
    "too_few": "0",
    "no_list": "tuple",
    "wrong_item": "str",
    "reschedule": "RESCHEDULE",
    "nobody": "nobody",
}
SENDER = ("second", "final_first", "flag", "no_response", "no_response_type", "closed")

EXCHANGES = [
    *(
        Infer(what, asks(what))
        for what in (
            "fine",
            "parameters",
            "no_outputs",
            "one_output_missing",
            "unknown_output",
            "not_contiguous",
            "fortran",
            "zero_size",
            "wrong_type",
            "wrong_rank",
            "strings object_str",
            "strings object_bytes",
            "strings fixed",
            "strings numbers",
            "strings unicode",
            "sent",
            "sent_in_two",
            "empty_text",
            "a_response",
        )
    ),
    Infer("batch of three", asks("fine", 3)),
    Infer("only the output that is there", asks("fine", outputs=("OUT",))),
    Infer("only the output that is not there", asks("fine", outputs=("MORE",))),
    *(Infer(f"code {name}", asks(f"code {name}"), says=(f"with {name}",)) for name in CODES),
    Infer("code and id", asks("code NOT_FOUND", id="my-id"), says=("with NOT_FOUND",)),
    *(Infer(what, asks(what), says=(text,)) for what, text in SAYS.items()),
    Infer("sent_error", asks("sent_error"), says=("sent",)),
    *(
        exchange
        for case in SENDER
        for exchange in (
            Infer(f"sender {case}", asks(f"sender_says {case}")),
            Infer(f"sender {case} said", asks("last_word")),
        )
    ),
    Stream(
        "errors on a stream",
        tuple(asks(what, id=what) for what in ("fine", "exception", "default_code", "fine ")),
        ordered=True,
    ),
    Generate("generate, an exception", "errors", {"WHAT": "exception"}, says=("the value is über all limits",)),
    Generate("generate, a code", "errors", {"WHAT": "code UNAVAILABLE"}, says=("with UNAVAILABLE",)),
    Generate("generate, parameters", "errors", {"WHAT": "parameters"}),
    Infer("fine after all that", asks("fine")),
    Counts("counters", "errors"),
]
