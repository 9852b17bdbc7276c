"""From what a file holds to what a model's input takes: types, shapes and ranges, a whole column at a time.

A value is changed only where nothing is lost by it: 3.0 may become an integer, 3.5 and 300 may not become a UINT8.
"""

from collections.abc import Sequence
from contextlib import suppress
from math import isinf, prod
from typing import Any

import numpy as np

from tcli_batch.errors import RowError
from tcli_batch.signature import Tensor
from tcli_client.tensors import BYTES, DTYPES, Array

_SHOWN = 40
_LONGEST_NUMBER = 64
_EXACT = 2**53
"""From here on not every integer is a float."""

_INFINITY = {"inf", "infinity"}
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


def fit_column(tensor: Tensor, cells: "Array | Sequence[Any]") -> tuple[list[Array], dict[int, str]]:
    """Rows of one column as rows of an input.

    Args:
        cells: an array [n, ...], or n values of any kind: numbers, texts, bytes, nested lists, arrays.

    Returns:
        Runs of rows of one shape, one below the other; and, by their place among the n, why some are left out.
    """
    if not len(cells):
        return [], {}
    whole = cells if isinstance(cells, np.ndarray) and not cells.dtype.hasobject else _stacked(tensor, cells)
    if whole is not None:
        try:
            return _fit_rows(tensor, whole)
        except RowError as problem:  # the same is wrong with all of them
            if isinstance(cells, np.ndarray) and not cells.dtype.hasobject:
                return [], dict.fromkeys(range(len(cells)), str(problem))
    return _one_by_one(tensor, cells)


def fit_row(tensor: Tensor, value: Any) -> Array:
    """One value as one row of an input, without a batch dimension.

    Raises:
        RowError: it does not fit; says what is expected and what was found.
    """
    if value is None:
        raise RowError(f"input {tensor}: there is no value")
    if tensor.datatype == BYTES:
        try:
            array = _as_bytes(tensor, value)
        except UnicodeEncodeError:
            raise RowError(f"input {tensor}: {_shown(value)} cannot be written in UTF-8") from None
    elif isinstance(value, (str, bytes)):
        array = _parsed(tensor, value)
    else:
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError):
            raise RowError(f"input {tensor}: lists of different lengths, {_shown(value)}") from None
        if array.dtype == object and (array.size == 0 or any(item is None for item in array.ravel())):
            raise RowError(f"input {tensor}: there is no value in {_shown(value)}")
        if array.dtype.kind in "US" or array.dtype == object:
            array = _parsed_all(tensor, array)
    rows, refused = _fit_rows(tensor, array[np.newaxis])
    if refused:
        raise RowError(refused[0])
    row: Array = rows[0][0]
    return row


def _one_by_one(tensor: Tensor, cells: "Array | Sequence[Any]") -> tuple[list[Array], dict[int, str]]:
    runs: list[list[Array]] = []
    refused: dict[int, str] = {}
    for place, value in enumerate(cells):
        try:
            row = fit_row(tensor, value)
        except RowError as problem:
            refused[place] = str(problem)
            continue
        if runs and runs[-1][0].shape == row.shape:
            runs[-1].append(row)
        else:
            runs.append([row])
    return [np.stack(run) for run in runs], refused


def _stacked(tensor: Tensor, cells: "Array | Sequence[Any]") -> Array | None:
    """All cells as one array, where they are alike; None where they must be looked at one by one."""
    if tensor.datatype == BYTES:
        if all(isinstance(cell, (str, bytes)) for cell in cells):
            with suppress(UnicodeEncodeError):
                return np.array([cell.encode() if isinstance(cell, str) else cell for cell in cells], object)
        return None
    if any(isinstance(cell, str) and len(cell) > _LONGEST_NUMBER for cell in cells):
        return None  # NumPy would give every cell as much room as the longest takes
    try:
        array: Array = np.asarray(cells)
        if array.dtype.kind == "U" and array.ndim == 1 and DTYPES[tensor.datatype].kind not in "b":
            array = array.astype(np.int64 if DTYPES[tensor.datatype].kind in "iu" else np.float64)
            return None if np.isinf(array).any() else array  # a number that is too large is not infinity
    except (ValueError, OverflowError, TypeError):
        return None
    if array.dtype.kind == "f" and DTYPES[tensor.datatype].kind in "iu" and np.abs(array).max(initial=0) >= _EXACT:
        return None  # integers of mixed signs or sizes, which NumPy has made floats of
    return array if array.dtype.kind in "biuf" else None


def _fit_rows(tensor: Tensor, rows: Array) -> tuple[list[Array], dict[int, str]]:
    """As `fit_column`, of rows that are one array already.

    Raises:
        RowError: their shape or type fits nowhere.
    """
    shaped = _shaped(tensor, rows)
    target = DTYPES[tensor.datatype]
    if tensor.datatype == BYTES or shaped.dtype == target:
        if shaped.dtype.kind in "US":
            shaped = _encoded(shaped)
        elif tensor.datatype == BYTES and not shaped.dtype.hasobject:
            raise RowError(f"input {tensor}: expected text or bytes, found numbers ({shaped.dtype})")
        return [shaped], {}
    if shaped.dtype.kind not in "biuf" and shaped.dtype not in DTYPES.values():
        raise RowError(f"input {tensor}: expected numbers, found {shaped.dtype}")
    if np.can_cast(shaped.dtype, target, "safe"):
        return [shaped.astype(target)], {}
    lost = _lost(shaped, target)
    refused: dict[int, str] = {}
    if lost.any():
        flat = lost.reshape(len(shaped), -1)
        for place in np.flatnonzero(flat.any(axis=1)).tolist():
            value = shaped.reshape(len(shaped), -1)[place][int(flat[place].argmax())]
            refused[place] = f"input {tensor}: {value} {_why(value, tensor.datatype)}"
        shaped = shaped[~flat.any(axis=1)]
    with np.errstate(all="ignore"):
        return ([shaped.astype(target)] if len(shaped) else []), refused


def _lost(values: Array, target: np.dtype[Any]) -> Array:
    """Where a value would become another one."""
    lost: Array
    with np.errstate(all="ignore"):
        if target.kind == "b":
            lost = (values != 0) & (values != 1)
        elif target.kind not in "iu":
            lost = np.isfinite(values.astype(np.float64)) & ~np.isfinite(values.astype(target).astype(np.float64))
        elif values.dtype.kind in "biu":
            limits = np.iinfo(target)
            lost = (values < limits.min) | (values > limits.max)
        else:
            limits, wide = np.iinfo(target), values.astype(np.float64)
            # The largest integers of 64 bits are no floats: the next power of two is the first that does not fit.
            held = (wide >= float(limits.min)) & (wide < float(limits.max) + 1)
            lost = ~(held & (np.floor(wide) == wide))
    return lost


def _why(value: Any, datatype: str) -> str:
    if datatype == "BOOL":
        return "is neither 0 nor 1"
    target = DTYPES[datatype]
    if target.kind in "iu":
        limits = np.iinfo(target)
        if value == value and limits.min <= value <= limits.max:
            return "is no whole number"
        return f"is not in {limits.min} to {limits.max}"
    return f"is more than {datatype} holds"


def _shaped(tensor: Tensor, rows: Array) -> Array:
    """The rows in the input's shape; dimensions of 1 may be there or not.

    Raises:
        RowError: they have another shape.
    """
    shape, dims = rows.shape[1:], tensor.dims
    if len(shape) == len(dims) and all(want in (-1, have) for want, have in zip(dims, shape, strict=True)):
        return rows
    if [side for side in shape if side != 1] == [side for side in dims if side != 1] and -1 not in dims:
        return rows.reshape(len(rows), *dims)
    if len(shape) == 1 and -1 not in dims and prod(dims) == shape[0]:  # row-major, as V2 writes tensors flat
        return rows.reshape(len(rows), *dims)
    own = len(shape) == len(dims) - 1 and dims[0] in (-1, 1)  # a batch dimension that is the model's own
    if own and all(want in (-1, have) for want, have in zip(dims[1:], shape, strict=True)):
        return rows[:, np.newaxis]
    raise RowError(f"input {tensor}: expected a row of shape {list(dims)}, found {list(shape)}")


def _as_bytes(tensor: Tensor, value: Any) -> Array:
    if isinstance(value, (str, bytes)):
        array = np.empty((), object)
        array[()] = value.encode() if isinstance(value, str) else value
        return array
    try:
        array = np.asarray(value, object)
    except ValueError:
        raise RowError(f"input {tensor}: lists of different lengths, {_shown(value)}") from None
    if not all(isinstance(item, (str, bytes)) for item in array.ravel()):
        raise RowError(f"input {tensor}: expected text, found {_shown(value)}")
    return _encoded(array)


def _encoded(array: Array) -> Array:
    elements = np.empty(array.size, object)
    elements[:] = [item.encode() if isinstance(item, str) else bytes(item) for item in array.ravel().tolist()]
    return elements.reshape(array.shape)


def _parsed_all(tensor: Tensor, texts: Array) -> Array:
    parsed = [_parsed(tensor, item) if isinstance(item, (str, bytes)) else np.asarray(item) for item in texts.ravel()]
    if any(item.dtype == object or item.shape for item in parsed):
        raise RowError(f"input {tensor}: expected numbers, found {_shown(texts.tolist())}")
    return np.array([item[()] for item in parsed]).reshape(texts.shape)


def _parsed(tensor: Tensor, text: str | bytes) -> Array:
    """A number, or a JSON list of numbers, that is written as a text."""
    import orjson

    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    words = words.strip()
    if not words:
        raise RowError(f"input {tensor}: the cell is empty")
    kind = DTYPES[tensor.datatype].kind
    if words[:1] == "[":
        try:
            return np.asarray(orjson.loads(words))
        except ValueError:
            raise RowError(f"input {tensor}: {_shown(words)} is no list of numbers") from None
    if kind == "b" and words.lower() in _TRUE | _FALSE:
        return np.array(words.lower() in _TRUE)
    with suppress(ValueError):
        whole = np.array(int(words))
        if not whole.dtype.hasobject:
            return whole
    try:
        number = float(words)
    except ValueError:
        raise RowError(f"input {tensor}: {_shown(words)} is no number") from None
    if isinf(number) and words.lstrip("+-").lower() not in _INFINITY:
        raise RowError(f"input {tensor}: {_shown(words)} is more than a number holds")
    return np.array(number)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
