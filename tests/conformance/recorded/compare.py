"""Where an answer is another than the recorded one.

Statuses, values, shapes and the order of responses must be equal. Texts of errors may differ, as long as what the exchange
`says` is in them; exceptions that a model saw must be of the same type.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance.recorded.wire import Json

ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """`path`: the keys to the value, with dots between."""

    path: str
    theirs: Json
    ours: Json

    def __str__(self) -> str:
        return f"{self.path}: Triton {self.theirs!r}, here {self.ours!r}"


def differences(theirs: Json, ours: Json, says: Sequence[str], path: str = "") -> Iterator[Difference]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in dict.fromkeys((*theirs, *ours)):
            inner = f"{path}.{key}".lstrip(".")
            yield from differences(theirs.get(key, ABSENT), ours.get(key, ABSENT), says, inner)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(one, other, says, f"{path}.{index}".lstrip("."))
    elif path.rpartition(".")[2] == "error" and ABSENT not in (theirs, ours):
        if not all(text.lower() in str(ours).lower() for text in says):
            yield Difference(path, theirs, ours)
    elif theirs != ours or type(theirs) is not type(ours):
        yield Difference(path, theirs, ours)
