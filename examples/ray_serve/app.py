"""Ray Serve replicas that each hold the engine of tcli: `serve run app:tcli` (see README.md).

Ray starts, replaces and scales the replicas, and spreads requests over the nodes; batching, queues and instances are the
engine's, by each model's config.pbtxt. So requests go to a replica one by one, many at a time, without Serve's own batching.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from tcli_server import Engine, ErrorKind, ServerError

_INFER = "/v2/models/{model}/infer"
_TYPES = {
    "BOOL": np.bool_,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}


@serve.deployment(max_ongoing_requests=64, graceful_shutdown_timeout_s=30, health_check_period_s=5)
class Tcli:
    """One engine. Requests in the V2 protocol's JSON, tensors of numbers; other deployments call `infer` with arrays."""

    def __init__(self, model_repository: str) -> None:
        self._engine = Engine(model_repository)
        self._engine.start()

    def check_health(self) -> None:
        """Asked by Ray; a replica that raises is replaced.

        Raises:
            RuntimeError: a model of the repository is not ready.
        """
        if not self._engine.ready:
            raise RuntimeError(f"models are not ready: {self._engine.repository_index()}")

    async def infer(self, model: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name.

        Raises:
            ServerError: the request is refused, or the model failed on it.
        """
        return dict((await self._engine.infer_async(model, inputs)).outputs)

    async def __call__(self, request: Request) -> JSONResponse:
        path = request.url.path.strip("/").split("/")
        if request.method == "GET" and path == ["v2", "health", "ready"]:
            return JSONResponse({}, 200 if self._engine.ready else 503)
        if request.method != "POST" or len(path) != 4 or [path[0], path[1], path[3]] != ["v2", "models", "infer"]:
            return JSONResponse({"error": f"expected POST {_INFER}"}, 404)
        try:
            inputs = await asyncio.to_thread(_read, await request.body())
        except (KeyError, TypeError, ValueError) as problem:
            return JSONResponse({"error": f"the request is not the V2 protocol's JSON: {problem!r}"}, 400)
        try:
            outputs = await self.infer(path[2], inputs)
        except ServerError as problem:
            return JSONResponse({"error": str(problem)}, 503 if problem.kind is ErrorKind.UNAVAILABLE else 400)
        return JSONResponse(await asyncio.to_thread(_written, path[2], outputs))

    def __del__(self) -> None:
        self._engine.shutdown()


def _read(body: bytes) -> dict[str, np.ndarray]:
    return {
        tensor["name"]: np.array(tensor["data"], _TYPES[tensor["datatype"]]).reshape(tensor["shape"])
        for tensor in json.loads(body)["inputs"]
    }


def _written(model: str, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
    return {
        "model_name": model,
        "outputs": [
            {"name": name, "datatype": _NAMES[array.dtype], "shape": array.shape, "data": array.ravel().tolist()}
            for name, array in outputs.items()
        ],
    }


tcli = Tcli.options(
    num_replicas=int(os.environ.get("TCLI_REPLICAS", "2")),
    ray_actor_options={"num_cpus": float(os.environ.get("TCLI_CPUS", "1"))},
).bind(os.environ.get("TCLI_REPOSITORY", str(Path("model_repository").absolute())))
