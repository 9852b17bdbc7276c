"""Which columns of a table go into which inputs: as the user says, else by their names."""

import re
from collections.abc import Mapping, Sequence
from math import prod

from tcli_batch.errors import DataError
from tcli_batch.signature import Signature, Tensor

Columns = Mapping[str, tuple[str, ...]]
"""Input -> its columns; several make one row of that input, side by side."""

_SHOWN = 12
_NUMBERED = re.compile(r"(?P<name>.*?)[._\[]?(?P<number>\d+)\]?")


def parse_map(signature: Signature, given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Read `INPUT=COLUMN` and `INPUT=COLUMN,COLUMN,...`.

    Raises:
        DataError: it is something else, or the model has no such input.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, separator, columns = text.partition("=")
        if not separator or not name or not columns:
            raise DataError(f"'{text}' is no mapping", "write --map INPUT=COLUMN")
        if signature.input(name) is None:
            raise DataError(
                f"model '{signature.model}' has no input '{name}'",
                f"its inputs: {', '.join(map(str, signature.inputs))}",
            )
        if name in found:
            raise DataError(
                f"input '{name}' is mapped twice", "several columns of one input go into one: --map X=a,b,c"
            )
        found[name] = tuple(columns.split(","))
    return found


def map_columns(
    signature: Signature, columns: Sequence[str], given: Mapping[str, tuple[str, ...]], where: str
) -> dict[str, tuple[str, ...]]:
    """The columns of each input.

    An input's column has its name, in whatever case; or there is a numbered one for each of its values (`x_0`, `x.0`,
    `x[0]`, `x0`). A model with one input takes the only column of a table.

    Args:
        given: what the user says.
        where: the file, for messages.

    Raises:
        DataError: a column that was named is not there, or none is found for an input that rows must have.
    """
    missing = [column for group in given.values() for column in group if column not in columns]
    if missing:
        raise DataError(f"'{where}' has no column '{missing[0]}'", f"its columns: {_listed(columns)}")
    chosen = dict(given)
    lower = {column.casefold(): column for column in reversed(columns)}
    for tensor in signature.inputs:
        if tensor.name in chosen:
            continue
        if tensor.name in columns:
            chosen[tensor.name] = (tensor.name,)
        elif tensor.name.casefold() in lower:
            chosen[tensor.name] = (lower[tensor.name.casefold()],)
        elif group := _numbered(tensor, columns):
            chosen[tensor.name] = group
    if not chosen and len(signature.required) == 1 and len(columns) == 1:
        chosen[signature.required[0].name] = (columns[0],)
    without = [tensor for tensor in signature.required if tensor.name not in chosen]
    if without:
        raise DataError(
            f"'{where}': no column is called as input {without[0]} of model '{signature.model}'",
            f"say which: --map {without[0].name}=COLUMN; its columns: {_listed(columns)}",
        )
    if not chosen:
        raise DataError(
            f"'{where}': no column is called as an input of model '{signature.model}'",
            f"say which: --map INPUT=COLUMN; its columns: {_listed(columns)}",
        )
    return chosen


def _numbered(tensor: Tensor, columns: Sequence[str]) -> tuple[str, ...]:
    """`x_0` to `x_15` for an input x of 16 values; empty if not all are there."""
    if -1 in tensor.dims:
        return ()
    found: dict[int, str] = {}
    for column in columns:
        match = _NUMBERED.fullmatch(column)
        if match and match["name"].casefold() == tensor.name.casefold():
            found[int(match["number"])] = column
    count = prod(tensor.dims)
    first = min(found, default=0)
    wanted = range(first, first + count)
    return tuple(found[number] for number in wanted) if len(found) == count and all(n in found for n in wanted) else ()


def _listed(columns: Sequence[str]) -> str:
    more = f", and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else ""
    return (", ".join(columns[:_SHOWN]) or "none") + more
