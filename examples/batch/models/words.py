"""Texts as numbers for the embedding model: at most 32 words, each by a checksum.

The package that the model comes from has no vocabulary, so these are not the numbers it was trained with: it shows how a step
of one's own goes before a model, not what the texts mean.
"""

import zlib

import numpy as np
import triton_python_backend_utils as pb_utils

LENGTH, BEGIN, END, FIRST, COUNT = 32, 101, 102, 1000, 29000


def numbers(text: str) -> list[int]:
    """Of one text, with what marks its begin and end."""
    words = [FIRST + zlib.crc32(word.encode()) % COUNT for word in text.lower().split()[: LENGTH - 2]]
    return [BEGIN, *words, END]


class TritonPythonModel:
    """TEXT, BYTES [n, 1] -> IDS, MASK and TYPES, INT64 [n, 32]."""

    def execute(self, requests):
        responses = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().ravel()
            ids = np.zeros((len(texts), LENGTH), np.int64)
            for row, text in enumerate(texts):
                found = numbers(text.decode())
                ids[row, : len(found)] = found
            tensors = {"IDS": ids, "MASK": (ids > 0).astype(np.int64), "TYPES": np.zeros_like(ids)}
            responses.append(
                pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in tensors.items()])
            )
        return responses
