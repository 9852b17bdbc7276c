"""Where answers may differ from the recorded ones, and why: each has a row in docs/compatibility.md."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from conformance.recorded.compare import Difference
from conformance.recorded.wire import Json


@dataclass(frozen=True)
class Allowed:
    """One kind of difference.

    Attributes:
        exchange: pattern of `topic/name`.
        path: pattern of the path in the answer.
        ours: what stands there in our answer, exactly; of an error's text, a part of it.
        row: the first cell of the row in docs/compatibility.md that tells of it.
    """

    exchange: str
    path: str
    ours: Json
    row: str

    def covers(self, found: Difference) -> bool:
        if not fnmatchcase(found.path, self.path):
            return False
        if found.path.endswith("error") and isinstance(found.ours, str):
            return str(self.ours) in found.ours
        return bool(found.ours == self.ours)


ALLOWED: list[Allowed] = []
