"""An inference response as the bytes of its protobuf message."""

import numpy as np
from tritonclient.grpc import service_pb2

from tcli_server.datatypes import datatype_of
from tcli_server.models.model import Model
from tcli_server.protocols.classification import classify
from tcli_server.protocols.grpc.infer_request import Classes
from tcli_server.protocols.grpc.wire import Buffer, raw_output
from tcli_server.protocols.tensors import encode_raw
from tcli_server.request import InferenceResponse

_BUFFER_KINDS = frozenset("biuf")
"""numpy dtype kinds whose arrays lend their memory; bfloat16 ("V") and objects do not."""


def encode_response(response: InferenceResponse, classes: Classes, model: Model, final_flag: bool = False) -> bytes:
    """A serialized ModelInferResponse; tensors are always in `raw_output_contents`, each copied once.

    Args:
        final_flag: add the parameter `triton_final_response`, as responses on streams have it.

    Raises:
        InvalidArgumentError: classes are wanted of an output that has none.
    """
    message = service_pb2.ModelInferResponse(
        model_name=response.model_name, model_version=response.model_version, id=response.id
    )
    if final_flag:
        message.parameters["triton_final_response"].bool_param = response.final
    parts: list[Buffer] = [b""]
    add = message.outputs.add
    for name, array in response.outputs.items():
        if classes and (count := classes.get(name)):
            array = classify(array, count, model.spec.labels.get(name, ()), model.spec.max_batch_size > 0, name)
        add(name=name, datatype=datatype_of(array), shape=array.shape)
        parts += raw_output(_bytes_of(array))
    parts[0] = message.SerializeToString()
    return b"".join(parts)


def _bytes_of(array: np.ndarray) -> Buffer:
    if array.dtype.kind in _BUFFER_KINDS and array.flags.c_contiguous:
        return array.data
    return encode_raw(array)


def takes_long(response: InferenceResponse, classes: Classes, elements: int) -> bool:
    """Whether encoding goes through more than `elements` elements one by one."""
    return any(
        array.size > elements and (array.dtype.hasobject or name in classes) for name, array in response.outputs.items()
    )
