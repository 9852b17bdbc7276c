"""A response as the flat JSON object of the generate extension."""

from typing import Any

import orjson

from tcli_server.protocols.http.json_tensors import encode_flat
from tcli_server.request import InferenceResponse


def encode_generated(response: InferenceResponse) -> bytes:
    """Id, model, parameters and outputs side by side, sorted by their names as in Triton; one element alone is no array.

    Raises:
        InvalidArgumentError: an output has no JSON form.
    """
    members: dict[str, Any] = {}
    for name, array in response.outputs.items():
        flat = encode_flat(array, name)
        members[name] = orjson.Fragment(flat[1:-1] if array.size == 1 else flat)
    members.update(response.parameters)
    if response.id:
        members["id"] = response.id
    members["model_name"], members["model_version"] = response.model_name, response.model_version
    return orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
