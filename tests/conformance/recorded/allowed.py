"""Where our answers may differ from the recorded ones, and why: each has a row in docs/compatibility.md."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from conformance.recorded.compare import ABSENT, Difference
from conformance.recorded.wire import Json

NOT_YET: dict[str, str] = {}
"""Pattern of `topic/name` -> what is missing here. They are not asked."""

ANY = object()
"""What stands there follows from another difference, or is pinned beside it."""


@dataclass(frozen=True)
class Allowed:
    """One kind of difference.

    Attributes:
        row: the first cell of the row in docs/compatibility.md that tells of it.
        exchange: pattern of `topic/name`.
        ours: pattern of a path -> what stands there in our answer; of an error's text, a part of it.
    """

    row: str
    exchange: str
    ours: dict[str, Json]

    def covers(self, found: Difference) -> bool:
        return any(fnmatchcase(found.path, path) and _is(found, value) for path, value in self.ours.items())


def _is(found: Difference, value: Json) -> bool:
    if found.path.endswith("error") and isinstance(found.ours, str) and isinstance(value, str):
        return value in found.ours
    return value is ANY or bool(found.ours == value)


NEWER = "what a Python model may do in newer Tritons than 2.51"
TENSOR = "`Tensor`: arrays and strings"
DLPACK = "`Tensor.from_dlpack`, `to_dlpack`, `__dlpack__`"
COUNTED = "a request that a Python model answers with an error"
STEPS = "statistics of iterative sequences"
NO_TEXT = "a string that is no UTF-8 in a JSON answer"
MANY = "`generate` with 0 responses, or more than 1"
FAILED = "a model's error in `generate`, or as the first of a stream"
ID = "`id` in a request for `generate`"
COUNTS_ONLY = "a required input that is missing, where others are optional"
CODES = "the code of an error from another model"
MIDDLE = "an error between the responses of another model"
HANGS = "RESCHEDULE where sequences are not iterative"
LONG_ID = "a sequence id of more than 128 characters"
PART = "one output of an ensemble, of an early step"
NOTHING = "an ensemble that gets none of its outputs"
TWICE = "failures of ensembles in the metrics"
PLACES = "a region that is only a part of its object, and several of one object"
KEYS = "a region's key that names no object, or one of Python models'"
NAMELESS = "a region without a name, over gRPC"

_MADE_GOOD = {"0.outputs.JSON.0.raises": ABSENT, "0.outputs.JSON.0.error": ABSENT, "0.outputs.JSON.0.gives": ANY}
_OF_ERROR_200 = {
    "http.status": 200, "grpc.code": "OK", "*.error": ABSENT, "*.model": ANY, "*.outputs": ANY, "*.parameters": ANY,
}  # fmt: skip
_OF_GENERATE_200 = {"*.status": 200, "*.error": ABSENT, "generate.*": ANY, "generate_stream.*": ANY}
_COUNTERS = {"*": ANY}
_REGISTERED = {
    "http.?.status": 200, "grpc.?.code": "OK", "*.error": ABSENT, "*.regions": ANY, "*.outputs": ANY, "*.raw": ANY, "*.holds": ANY,
}  # fmt: skip
_NO_KEY = {"http.0.status": 400, "grpc.0.code": "INVALID_ARGUMENT"}


def _codes(name: str, path: str, code: str) -> Allowed:
    return Allowed(CODES, f"calls/{name}", {f"0.outputs.JSON.0{path}.code": code})


ALLOWED = [
    Allowed(LONG_ID, "told/too long a text", {**_OF_ERROR_200}),
    Allowed(ID, "told/generate", {"*.JSON.parameters.id": ABSENT}),
    Allowed(NEWER, "errors/parameters", {**_OF_ERROR_200}),
    Allowed(NEWER, "errors/generate, parameters", _OF_GENERATE_200),
    Allowed(NO_TEXT, "errors/strings object_bytes",
            {"http.status": 400, "http.error": "no UTF-8 text", "http.model": ABSENT, "http.outputs": ABSENT}),
    Allowed(TENSOR, "errors/strings unicode", {**_OF_ERROR_200}),
    Allowed(HANGS, "errors/reschedule", {
        "http.status": 400, "grpc.code": "INVALID_ARGUMENT", "*.error": "RELEASE_RESCHEDULE, while the model is not configured",
    }),
    Allowed(FAILED, "errors/generate, an exception", {"*.status": 500}),
    Allowed(FAILED, "errors/generate, a code", {"*.status": 503}),
    Allowed(COUNTED, "errors/counters", _COUNTERS),
    Allowed(NEWER, "probes/type code of a tensor", _MADE_GOOD),
    *(Allowed(TENSOR, f"probes/tensor {which}", _MADE_GOOD)
      for which in ("of one value", "of big endian", "of unicode", "by keyword")),
    Allowed(DLPACK, "probes/from_dlpack not contiguous", _MADE_GOOD),
    Allowed(NEWER, "probes/request sender", {
        "0.outputs.JSON.0.gives": ABSENT, "0.outputs.JSON.0.raises": "TritonModelException",
        "0.outputs.JSON.0.error": "made by the model itself",
    }),
    Allowed(NEWER, "probes/response with parameters", _MADE_GOOD),
    Allowed(NEWER, "probes/response with float parameter", {"0.outputs.JSON.0.raises": "TritonModelException"}),
    Allowed(NEWER, "decoupled/parameters", {"a": ANY}),
    Allowed(MANY, "decoupled/generate, plain, 2", {"generate.status": 500}),
    Allowed(FAILED, "decoupled/generate, exception, 1", {"*.status": 500}),
    Allowed(MANY, "decoupled/generate, error_at_the_end, 1", {"generate.status": 400}),
    Allowed(NEWER, "decoupled/generate, parameters, 1", _OF_GENERATE_200),
    Allowed(COUNTS_ONLY, "decoupled/generate, an input missing", {
        "generate_stream.kind": "application/json", "generate_stream.events": ABSENT,
        "generate_stream.error": "missing required input(s) ['IN']",
    }),
    _codes("exec for an unknown output", "", "INVALID_ARG"),
    _codes("exec of an absent version", "", "NOT_FOUND"),
    _codes("exec of an unknown model", "", "NOT_FOUND"),
    _codes("exec without an input", "", "INVALID_ARG"),
    _codes("exec of the wrong shape", "", "INVALID_ARG"),
    _codes("exec of what fails with a code", "", "NOT_FOUND"),
    _codes("exec of a decoupled model", "", "UNSUPPORTED"),
    _codes("decoupled of an unknown model", ".0", "NOT_FOUND"),
    _codes("a sequence without an id", "", "INVALID_ARG"),
    _codes("async_exec of what fails", ".1", "UNAVAILABLE"),
    _codes("async_exec of what fails", ".2", "NOT_FOUND"),
    _codes("async_exec of a decoupled model without saying so", ".0", "UNSUPPORTED"),
    Allowed(NEWER, "calls/exec with parameters in the answer", {
        "0.outputs.JSON.0.error": ABSENT, "0.outputs.JSON.0.code": ABSENT, "0.outputs.JSON.0.outputs": {"OUT": [1.0, 2.0]},
        "0.outputs.JSON.0.parameters": {"text": "t\u00e9xt", "number": -7, "flag": True, "none": False, "big": 2**40},
    }),
    Allowed(NEWER, "calls/an ensemble", {
        "0.outputs.JSON.0.parameters": {"sequence_id": 0, "sequence_start": False, "sequence_end": False},
    }),
    Allowed(MIDDLE, "calls/decoupled with an error in the middle", {"0.outputs.JSON.0": [
        {"outputs": {"OUT": [5], "IDX": [0]}}, {"error": "no 6", "code": "INVALID_ARG"},
        {"outputs": {"OUT": [7], "IDX": [2]}}, {"outputs": {}},
    ]}),
    Allowed(MANY, "sequences/iterative and decoupled, more than one", {"generate.status": 500}),
    Allowed(STEPS, "sequences/counters of iterative*", _COUNTERS),
    Allowed(PART, "ensembles/the output of the first step", {**_OF_ERROR_200}),
    Allowed(NOTHING, "ensembles/a step without any output", {
        "http.status": 400, "grpc.code": "INVALID_ARGUMENT", "*.model": ABSENT, "*.error": "at least one output is not set",
    }),
    Allowed(NEWER, "ensembles/a step's response parameters", {**_OF_ERROR_200}),
    Allowed(TWICE, "ensembles/counters*", _COUNTERS),
    Allowed(PLACES, "shared_memory/two regions of one object", _REGISTERED),
    Allowed(PLACES, "shared_memory/an offset inside a page", _REGISTERED),
    Allowed(PLACES, "shared_memory/in a part of an object", {"*.1.holds.1.[4-7]": ANY}),
    *(Allowed(KEYS, f"shared_memory/{which}", _NO_KEY)
      for which in ("a key of slashes", "a key that is empty", "a key of a Python model's", "no key")),
    Allowed(NAMELESS, "shared_memory/no region's name", {
        "grpc.0.code": "INVALID_ARGUMENT", "grpc.0.error": "'name' is necessary to register system shared memory region",
    }),
]  # fmt: skip
