"""Where our answers may differ from the recorded ones, and why: each has a row in docs/compatibility.md."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from conformance.recorded.compare import Difference
from conformance.recorded.wire import Json

NEWER = "what Python models may do in newer Tritons than 2.51"
LENIENT = "arguments of `triton_python_backend_utils`"
OTHER_TYPE = "an output of another type than the configuration says"
COUNTED = "a request that a Python model answers with an error"
NO_TEXT = "bytes that are no UTF-8 in a JSON answer"
STATUS = "the status of `generate` after an error, or without exactly one response"
ENSEMBLE_PART = "one output of an ensemble, of an early step"
ENSEMBLE_NOTHING = "an ensemble whose last step gives no output"
HANGS = "what a running Triton 2.51 never answers"

NOT_YET: dict[str, str] = {}
"""Pattern of `topic/name` -> what is missing here. They are not asked."""


@dataclass(frozen=True)
class Allowed:
    """One kind of difference.

    Attributes:
        exchange: pattern of `topic/name`.
        ours: path -> what stands there in our answer; of an error's text, a part of it. `http.` stands for `grpc.`, too.
        row: the first cell of the row in docs/compatibility.md that tells of it.
    """

    exchange: str
    row: str
    ours: dict[str, Json]

    def covers(self, found: Difference) -> bool:
        for path, value in self.ours.items():
            if not fnmatchcase(found.path, path):
                continue
            if found.path.endswith("error") and isinstance(found.ours, str):
                return str(value) in found.ours
            return value is ANY or bool(found.ours == value)
        return False


ANY = object()
"""Compared elsewhere: counters that another difference changes, and parts of an answer whose status is pinned."""

ALLOWED: list[Allowed] = []
