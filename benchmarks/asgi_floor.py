"""The least that an ASGI server can do for one inference over HTTP: `floor.py`'s model as a bare application on uvicorn.

pip install uvicorn
python benchmarks/asgi_floor.py        # prints the HTTP port
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import orjson
import uvicorn
from google.protobuf.json_format import MessageToDict

from floor import NAMES, SESSION, described

_JSON = [(b"content-type", b"application/json")]


def _answers() -> dict[str, bytes]:
    """What NVIDIA's load generator asks before it begins, by the end of the path."""
    messages: dict[str, Any] = described()
    config = MessageToDict(messages["ModelConfig"].config, preserving_proto_field_name=True)
    metadata = MessageToDict(messages["ModelMetadata"], preserving_proto_field_name=True)
    for tensor in (*metadata["inputs"], *metadata["outputs"]):
        tensor["shape"] = [int(dim) for dim in tensor["shape"]]
    for tensor in (*config["input"], *config["output"]):
        tensor["dims"] = [int(dim) for dim in tensor["dims"]]
    return {
        "ready": b"",
        "live": b"",
        "config": orjson.dumps(config),
        "stats": b'{"model_stats":[]}',
        "v2": b'{"name":"floor","version":"1","extensions":["binary_tensor_data"]}',
        "add_sub": orjson.dumps(metadata),
    }


ANSWERS = _answers()


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """ASGI: no queue, no batching, no validation, no statistics."""
    if scope["type"] != "http":
        return
    last = scope["path"].rpartition("/")[2]
    headers = _JSON
    message = await receive()
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message["body"])
    if last == "infer":
        length = next(int(value) for name, value in scope["headers"] if name == b"inference-header-content-length")
        length, body = infer(b"".join(parts), length)
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"inference-header-content-length", b"%d" % length),
        ]
    else:
        body = ANSWERS[last]
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [*headers, (b"content-length", b"%d" % len(body))],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


def infer(body: bytes, json_length: int) -> tuple[int, bytes]:
    """The length of the answer's JSON part, and the answer."""
    feed, offset = {}, json_length
    for tensor in orjson.loads(body[:json_length])["inputs"]:
        size = tensor["parameters"]["binary_data_size"]
        feed[tensor["name"]] = np.frombuffer(body, np.float32, size // 4, offset).reshape(tensor["shape"])
        offset += size
    arrays = SESSION.run(NAMES[1], feed)
    outputs = [
        {"name": n, "datatype": "FP32", "shape": a.shape, "parameters": {"binary_data_size": a.nbytes}}
        for n, a in zip(NAMES[1], arrays, strict=True)
    ]
    head = orjson.dumps({"model_name": "add_sub", "model_version": "1", "outputs": outputs})
    return len(head), b"".join([head, *(array.tobytes() for array in arrays)])


async def main() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(application, http="httptools", log_level="error", access_log=False)
        print(json.dumps({"http": listening.getsockname()[1], "grpc": 0}), flush=True)
        await uvicorn.Server(config).serve([listening])


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())
