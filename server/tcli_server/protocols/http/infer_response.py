"""An inference response as an HTTP body: JSON, and binary tensors behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tcli_server.datatypes import datatype_of
from tcli_server.models.model import Model
from tcli_server.protocols.classification import classify
from tcli_server.protocols.http.exchange import Body
from tcli_server.protocols.http.infer_request import ResponseForm
from tcli_server.protocols.http.json_tensors import encode_json
from tcli_server.protocols.tensors import encode_raw
from tcli_server.request import InferenceResponse


def encode_response(response: InferenceResponse, form: ResponseForm, model: Model) -> tuple[int, list[Body]]:
    """The body in parts.

    Returns:
        The length of the JSON part if binary tensors follow it, else 0; and the parts.

    Raises:
        InvalidArgumentError: an output cannot be sent in the form that was asked for.
    """
    outputs: list[dict[str, Any]] = []
    blobs: list[Body] = []
    for name, array in response.outputs.items():
        wanted = form.of(name)
        if wanted.classes:
            array = classify(array, wanted.classes, _labels(model.labels, name), model.spec.max_batch_size > 0, name)
        entry: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": array.shape}
        if wanted.binary:
            blob = encode_raw(array)
            entry["parameters"] = {"binary_data_size": len(blob)}
            if blob:
                blobs.append(blob)
        else:
            entry["data"] = encode_json(array, name)
        outputs.append(entry)
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id:
        document = {"id": response.id, **document}
    if response.parameters:
        document["parameters"] = response.parameters
    document["outputs"] = outputs
    head = orjson.dumps(document)
    return (len(head) if blobs else 0), [head, *blobs]


def _labels(labels: Mapping[str, Sequence[str]], output: str) -> Sequence[str]:
    return labels.get(output, ())


def large_json(response: InferenceResponse, form: ResponseForm, threshold: int) -> bool:
    """Whether writing the response's JSON takes long enough to be done off the loop."""
    return any(
        not form.of(name).binary and not form.of(name).classes and array.nbytes > threshold
        for name, array in response.outputs.items()
    )
