"""Requests to generate from a seed: valid ones, and ones with something wrong. Pure: sends nothing."""

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from fuzz.infer_bodies import SPLINTERS, STRANGE

_MODELS = ("identity_fp32", "identity_int32", "identity_uint8", "identity_bool", "identity_bytes", "identity_fp16")
_KEYS = (
    "INPUT0",
    "id",
    "parameters",
    "other",
    "sequence_id",
    "triton_x",
    "model_name",
    "OUTPUT0",
    "",
    "\x00",
    "é" * 300,
)


@dataclass(slots=True)
class GenerateBody:
    """One request: POST to `/v2/models/<model>/generate` or `generate_stream`. `valid` ones must be answered with 200."""

    model: str
    body: bytes
    streamed: bool
    valid: bool = True


def generate_bodies(seed: int) -> Iterator[GenerateBody]:
    """Requests without end, the same ones for the same seed."""
    source = random.Random(seed)
    while True:
        model = source.choice(_MODELS[:-1])
        request = GenerateBody(model, b"", source.random() < 0.5)
        document = _valid(source, model)
        if source.random() < 0.3:
            request.body = json.dumps(document).encode()
            yield request
            continue
        request.valid = False
        request.model = source.choice(_MODELS)
        for _ in range(source.randint(1, 3)):
            _spoil(source, document)
        body = json.dumps(document).encode()
        if source.random() < 0.4:
            at = source.randrange(len(body) + 1)
            body = body[:at] + source.choice(SPLINTERS) + body[at + source.randint(0, 3) :]
        if source.random() < 0.1:  # the same member again
            body = body[:-1] + b"," + body[1:]
        request.body = body
        yield request


def _valid(source: random.Random, model: str) -> dict[str, Any]:
    count = source.choice((1, 1, 2, 5, 20_000))
    value: dict[str, Any] = {
        "identity_fp32": 0.5, "identity_int32": -7, "identity_uint8": 7, "identity_bool": True, "identity_bytes": "é\"\\",
    }  # fmt: skip
    tensor = value[model] if count == 1 and source.random() < 0.5 else [value[model]] * count
    document: dict[str, Any] = {"INPUT0": tensor, "id": "7", "temperature": 0.5, "parameters": {"stop": True}}
    if source.random() < 0.3:
        document["parameters"]["INPUT0"] = document.pop("INPUT0")
    return document


def _spoil(source: random.Random, document: dict[str, Any]) -> None:
    nested = document.get("parameters")
    holder = nested if isinstance(nested, dict) and source.random() < 0.3 else document
    if holder and source.random() < 0.2:
        del holder[source.choice(list(holder))]
    else:
        holder[source.choice(_KEYS)] = deepcopy(source.choice(STRANGE))  # which may be spoilt itself
