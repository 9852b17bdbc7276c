"""Which sequence a tensor belongs to: that of the request, unless a step's response names another one.

Source: `EnsembleContext::ConsumeResponse` in Triton's core.
"""

from collections.abc import Mapping

from tcli_server.errors import InvalidArgumentError
from tcli_server.request import Parameter

Sequence = tuple[int | str, bool, bool]
"""Its id, and whether this is its start and its end."""

NAMES = ("sequence_id", "sequence_start", "sequence_end")
"""The parameters of a response that say it, in that order."""


def continued(given: Sequence, parameters: Mapping[str, Parameter]) -> Sequence:
    """The sequence that goes on with a response: that of its request, unless the response names another one.

    Raises:
        InvalidArgumentError: what it says of its sequence is of a wrong type.
    """
    if not any(name in parameters for name in NAMES):
        return given
    number, start, end = (
        parameters.get(name, default) for name, default in zip(NAMES, (given[0], False, False), strict=True)
    )
    if isinstance(number, bool) or not isinstance(number, int | str):
        raise InvalidArgumentError(f"expected parameter 'sequence_id' to be an integer or a text, found {number!r}")
    for name, flag in (("sequence_start", start), ("sequence_end", end)):
        if not isinstance(flag, bool):
            raise InvalidArgumentError(f"expected parameter '{name}' to be a boolean, found {flag!r}")
    return number, bool(start), bool(end)
