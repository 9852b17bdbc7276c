"""How much of a client's window a response takes."""

from tcli_server.request import InferenceResponse

OVERHEAD = 1 << 10
"""Bytes that a response takes besides its tensors: without them, tiny ones could wait by the hundred thousand."""


def response_size(response: InferenceResponse) -> int:
    """Bytes of a response while it waits for its client."""
    size = OVERHEAD
    for array in response.outputs.values():
        size += array.nbytes
        if array.dtype.hasobject:
            size += sum(map(len, array.reshape(-1).tolist()))
    return size
