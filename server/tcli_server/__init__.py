"""Runs models: the repository, the backends, the batching scheduler and the V2 protocols.

from tcli_server import Engine

with Engine("model_repository") as engine:
    response = engine.infer("add_sub", {"INPUT0": a, "INPUT1": b})
"""

import tcli_server.triton_messages  # noqa: F401 - before anybody imports a message
from tcli_server.engine import Engine
from tcli_server.errors import ErrorKind, ServerError
from tcli_server.models.on_demand_options import OnDemandOptions
from tcli_server.options import EngineOptions
from tcli_server.request import InferenceRequest, InferenceResponse

__all__ = [
    "Engine",
    "EngineOptions",
    "ErrorKind",
    "InferenceRequest",
    "InferenceResponse",
    "OnDemandOptions",
    "ServerError",
]
