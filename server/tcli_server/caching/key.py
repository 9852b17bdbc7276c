"""What makes two requests equal for a response cache.

Triton's key has the model's name and version and the bytes of the inputs. This one also has their shapes and data types, the
outputs that are wanted and the parameters, without which a request could be answered with what another one asked.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator

import numpy as np

from tcli_server.request import InferenceRequest

_LENGTH = struct.Struct("<Q")


def cache_key(model: bytes, request: InferenceRequest) -> bytes:
    """16 bytes that are equal for equal requests, and for others with a probability of 2^-128.

    Args:
        model: names one loaded copy of one model version.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (model, *_texts(sorted(request.outputs)), b"", *_texts(_parameters(request)), b""):
        digest.update(_LENGTH.pack(len(part)))
        digest.update(part)
    for name, array in sorted(request.inputs.items()):
        for part in _texts((name, array.dtype.str, repr(array.shape))):
            digest.update(_LENGTH.pack(len(part)))
            digest.update(part)
        if array.dtype.hasobject:
            for element in array.ravel().tolist():
                digest.update(_LENGTH.pack(len(element)))
                digest.update(element)
        else:
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.digest()


def _parameters(request: InferenceRequest) -> Iterator[str]:
    for name, value in sorted(request.parameters.items()):
        yield name
        yield f"{type(value).__name__} {value!r}"


def _texts(texts: Iterable[str]) -> Iterator[bytes]:
    return (text.encode(errors="surrogatepass") for text in texts)
