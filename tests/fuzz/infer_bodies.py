"""Inference requests over HTTP from a seed: valid ones, and ones with something wrong. Pure: sends nothing."""

import gzip
import json
import random
import struct
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MODELS = {
    "add_sub": ("FP32", ("INPUT0", "INPUT1"), (1, 16)),
    "no_batch": ("FP32", ("INPUT0", "INPUT1"), (16,)),
    "reshaped": ("FP32", ("INPUT0",), (2, 2)),
    **{
        f"identity_{name.lower()}": (name, ("INPUT0",), None)
        for name in (
            "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64",
            "BYTES", "BF16",
        )
    },
}  # fmt: skip
"""Models of the tests' standard repository -> data type, inputs, shape (None for any of two dimensions)."""

SIZES = {"BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2, "UINT32": 4, "INT32": 4,
         "FP32": 4, "UINT64": 8, "INT64": 8, "FP64": 8}  # fmt: skip

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**62, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 0.5, 1e300, float("nan"),
    float("inf"), "", "x", "1", "\x00\x1b[31m", "\ud800", "é" * 3000, [], [[]], {}, [1], {"a": 1}, ["1"], [None], [[1], 2],
    [1] * 70, [0, 2**62], [2**62, 2**62], [-1, 4], [1.0], "FP32", "BYTES", "triton_x",
)  # fmt: skip

SPLINTERS = (b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b'"data":[', b"-", b".", b"e", b"\n", b"NaN", b"-Infinity",
             b"null", b"\xc3", b"\xed\xa0\x80", b"\\ud83d", b"\x00", b"9" * 400, b"[" * 300)  # fmt: skip


@dataclass(slots=True)
class InferBody:
    """One request: POST to `/v2/models/<model>/infer`. `valid` ones must be answered with 200."""

    model: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    valid: bool = True


def infer_bodies(seed: int) -> Iterator[InferBody]:
    """Requests without end, the same ones for the same seed."""
    source = random.Random(seed)
    while True:
        yield _Maker(source).make()


class _Maker:
    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._tail = b""

    def make(self) -> InferBody:
        random_ = self._random
        model = random_.choice(tuple(MODELS))
        document = self._document(model)
        broken = random_.random() < 0.7
        if broken and random_.random() < 0.6:
            for _ in range(random_.choice((1, 1, 2))):
                self._spoil(document)
        head = json.dumps(document, ensure_ascii=random_.random() < 0.5, indent=random_.choice((None, None, 1)))
        body = head.encode("utf-8", "surrogatepass")
        headers = {"Inference-Header-Content-Length": str(len(body))} if self._tail else {}
        body += self._tail
        if broken and random_.random() < 0.6:
            body = self._wound(body)
        if broken and headers and random_.random() < 0.3:
            headers["Inference-Header-Content-Length"] = random_.choice(
                ("0", "-1", "1", "x", "1_0", "9" * 30, str(len(body)), str(len(body) + 1), str(len(body) // 2))
            )
        if random_.random() < 0.1:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, mtime=0)
        return InferBody(model, body, headers, not broken)

    def _document(self, model: str) -> dict[str, Any]:
        random_ = self._random
        kind, names, shape = MODELS[model]
        if shape is None:
            shape = (random_.randrange(1, 5), random_.choice((1, 2, 3, 7, 30, 30_000 if random_.random() < 0.1 else 5)))
        document: dict[str, Any] = {"inputs": [self._input(name, kind, shape) for name in names]}
        if random_.random() < 0.5:
            document["id"] = random_.choice(("", "7", "sieben", "七"))
        if random_.random() < 0.3:
            document["parameters"] = random_.choice(
                ({"priority": 1, "timeout": 1_000_000}, {"mine": 0.5, "other": "x"}, {"sequence_id": 5}, {})
            )
        binary = kind in ("FP16", "BF16")  # these have no JSON form
        if binary or random_.random() < 0.3:
            document.setdefault("parameters", {})["binary_data_output"] = True
        elif random_.random() < 0.3:
            document["outputs"] = [{"name": "OUTPUT0", "parameters": {"binary_data": random_.random() < 0.5}}]
        return document

    def _input(self, name: str, kind: str, shape: tuple[int, ...]) -> dict[str, Any]:
        tensor: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(shape)}
        count = int(np.prod(shape))
        if kind in ("FP16", "BF16") or self._random.random() < 0.4:
            blob = self._blob(kind, count)
            self._tail += blob
            tensor["parameters"] = {"binary_data_size": len(blob)}
            return tensor
        values = [self._value(kind) for _ in range(count)]
        if self._random.random() < 0.5:
            tensor["data"] = values
        else:
            row = shape[-1]
            tensor["data"] = [values[start : start + row] for start in range(0, count, row)]
        return tensor

    def _blob(self, kind: str, count: int) -> bytes:
        if kind == "BYTES":
            return b"".join(struct.pack("<I", 3) + b"abc" for _ in range(count))
        return bytes(SIZES[kind] * count)

    def _value(self, kind: str) -> Any:
        if kind == "BYTES":
            return self._random.choice(("", "a", "word, [x]", 'quote " and \\', "é😀"))
        if kind == "BOOL":
            return self._random.random() < 0.5
        if kind.startswith("FP"):
            return self._random.choice((0, 1, -2, 0.5, 1e10, float("nan"), float("-inf")))
        return self._random.choice((0, 1, 100)) if kind.startswith("U") else self._random.choice((0, 1, -100))

    def _spoil(self, document: dict[str, Any]) -> None:
        """Replace, drop or double something somewhere in a document."""
        random_ = self._random
        place: Any = document
        while True:
            if not place:
                return
            key = random_.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if isinstance(place[key], dict | list) and random_.random() < 0.7:
                place = place[key]
                continue
            action = random_.random()
            if action < 0.6:
                place[key] = deepcopy(random_.choice(STRANGE))
            elif action < 0.8:
                del place[key]
            elif isinstance(place, list):
                place.append(deepcopy(place[key]))
            else:
                name = random_.choice(("data", "parameters", "id", "outputs", "triton_x", "\x1b", "x" * 3000))
                place[name] = deepcopy(place[key])
            return

    def _wound(self, body: bytes) -> bytes:
        random_ = self._random
        wounded = bytearray(body)
        for _ in range(random_.choice((1, 1, 3))):
            place = random_.randrange(len(wounded) + 1)
            match random_.randrange(4):
                case 0:
                    wounded[place:place] = random_.choice(SPLINTERS)
                case 1:
                    del wounded[place : place + random_.choice((1, 1, 5, 50))]
                case 2:
                    wounded[place : place + 1] = random_.choice(SPLINTERS)
                case _:
                    del wounded[place:]
        return bytes(wounded)
