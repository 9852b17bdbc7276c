"""What HTTP clients ask about shared memory, from a seed: right and wrong registrations, and tensors in regions. Pure: sends nothing."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fuzz.infer_bodies import STRANGE

SIZE = 4096
"""Bytes of the object whose key the requests are made for."""

_TENSOR = 4 * 16
_NAMES = ("mine", "other", "a/b", "%2e%2e", "%00", "x" * 300, "%C3%A9", "all")


@dataclass(slots=True)
class SharedMemoryRequest:
    """One POST."""

    path: str
    body: bytes


def shared_memory_requests(seed: int, key: str) -> Iterator[SharedMemoryRequest]:
    """Requests without end, the same ones for the same seed; `key` is of an object that exists."""
    chance = random.Random(seed)
    while True:
        what = chance.random()
        if what < 0.2:
            yield _registration(chance, key)
        elif what < 0.3:
            yield SharedMemoryRequest(f"{_region(chance)}/unregister", b"")
        else:
            yield _inference(chance)


def _region(chance: random.Random) -> str:
    name = chance.choice(_NAMES[:2] if chance.random() < 0.8 else _NAMES)
    return "/v2/systemsharedmemory" + (f"/region/{name}" if chance.random() < 0.98 else "")


def _registration(chance: random.Random, key: str) -> SharedMemoryRequest:
    offset = chance.choice((0, 0, 64, SIZE - 64))
    document: dict[str, Any] = {"key": key, "offset": offset, "byte_size": SIZE - offset}
    if chance.random() < 0.5:
        document[chance.choice(tuple(document))] = chance.choice(
            (
                *STRANGE,
                SIZE,
                SIZE + 1,
                "/nothing",
                "/../etc/passwd",
                "/etc/passwd",
                "mine",
                key[1:],
                key + "/",
                key + "\x00",
            )
        )
    return SharedMemoryRequest(f"{_region(chance)}/register", _dump(document))


def _inference(chance: random.Random) -> SharedMemoryRequest:
    inputs: list[dict[str, Any]] = [
        {"name": name, "datatype": "FP32", "shape": [1, 16], "parameters": _place(chance)}
        for name in ("INPUT0", "INPUT1")
    ]
    outputs: list[dict[str, Any]] = [
        {"name": name, "parameters": _place(chance)} for name in ("OUTPUT0", "OUTPUT1") if chance.random() < 0.7
    ]
    document = {"inputs": inputs, "outputs": outputs}
    if chance.random() < 0.2:
        tensor = chance.choice(inputs + outputs)
        tensor[chance.choice(tuple(tensor))] = chance.choice(STRANGE)
    return SharedMemoryRequest("/v2/models/add_sub/infer", _dump(document))


def _place(chance: random.Random) -> dict[str, Any]:
    place: dict[str, Any] = {"shared_memory_region": chance.choice(_NAMES[:2]), "shared_memory_byte_size": _TENSOR}
    if chance.random() < 0.5:
        place["shared_memory_offset"] = chance.choice((0, 64, 63, SIZE - 128, SIZE - 64, SIZE - 63, SIZE, SIZE + 1))
    if chance.random() < 0.2:
        place[chance.choice(tuple(place))] = chance.choice((*STRANGE, 0, 1, 63, 65, 2**63 - 1))
    return place


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")
