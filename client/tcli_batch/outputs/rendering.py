"""Rows of arrays as text, many at a time.

Numbers are the shortest that read back as the same value of their type: 0.1 of FP32 is `0.1`, not 0.10000000149011612.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from tcli_batch.results import plain
from tcli_client.tensors import Array


def json_rows(array: Array) -> list[bytes]:
    """Each row of [n, ...] as JSON; NaN and infinity are null, integers are written in full, and texts as `plain` says."""
    if array.dtype.hasobject or not array.size:
        return [orjson.dumps(plain(row)) for row in array]
    depth = array.ndim - 1
    text = _dumped(array)
    if not depth:
        return text[1:-1].split(b",")
    opening, closing = b"[" * depth, b"]" * depth
    # Between rows there are as many brackets as a row has axes, within them always fewer.
    rows = text[1 + depth : -1 - depth].split(closing + b"," + opening)
    return [opening + row + closing for row in rows]


def csv_rows(array: Array) -> list[bytes]:
    """Each row of [n, width], width at least 1, as cells with commas between; NaN is `nan`, infinity `inf` or `-inf`."""
    if array.dtype.hasobject:
        return [b",".join(map(csv_cell, plain(row))) for row in array]
    rows = _dumped(array)[2:-2].split(b"],[")
    if array.dtype.kind not in "biu":
        finite = np.isfinite(array)
        for row in np.flatnonzero(~finite.all(axis=1)).tolist():
            cells = rows[row].split(b",")
            for place in np.flatnonzero(~finite[row]).tolist():
                cells[place] = str(float(array[row, place])).encode()
            rows[row] = b",".join(cells)
    return rows


def csv_cell(text: str) -> bytes:
    """A text as a cell, in quotes where it needs them."""
    content = text.encode(errors="backslashreplace")
    if any(mark in content for mark in (b",", b'"', b"\n", b"\r")):
        return b'"' + content.replace(b'"', b'""') + b'"'
    return content


def json_text(text: str) -> bytes:
    """A text as JSON; what has no encoding, as in the names of some files, is escaped as in Python."""
    return orjson.dumps(text.encode(errors="backslashreplace").decode())


def numbers(array: Array) -> list[bytes]:
    """Each integer of [n]."""
    return _dumped(array)[1:-1].split(b",") if len(array) else []


def cached(texts: Sequence[str], render: Any) -> list[bytes]:
    """Each text rendered; the same ones once."""
    known = {text: render(text) for text in set(texts)}
    return [known[text] for text in texts]


def _dumped(array: Array) -> bytes:
    if array.dtype.name == "bfloat16":  # FP32 holds all its values
        array = array.astype(np.float32)
    return orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
