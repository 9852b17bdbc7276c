"""What the file type model looks at: the first and the last 1,024 bytes of a file, without white space around them.

256 stands where a short file has no byte. The numbers are those of the model's `config.min.json`.
"""

import numpy as np
import triton_python_backend_utils as pb_utils

BLOCK, SIDE, PADDING = 4096, 1024, 256


def features(content: bytes) -> np.ndarray:
    """INT32 [2048] of one file."""
    row = np.full(2 * SIDE, PADDING, np.int32)
    begin = content[:BLOCK].lstrip()[:SIDE]
    end = content[-BLOCK:].rstrip()[-SIDE:]
    row[: len(begin)] = np.frombuffer(begin, np.uint8)
    row[2 * SIDE - len(end) :] = np.frombuffer(end, np.uint8)
    return row


class TritonPythonModel:
    """CONTENT, BYTES [n, 1] -> FEATURES, INT32 [n, 2048]."""

    def execute(self, requests):
        responses = []
        for request in requests:
            files = pb_utils.get_input_tensor_by_name(request, "CONTENT").as_numpy().ravel()
            rows = np.stack([features(content) for content in files])
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("FEATURES", rows)]))
        return responses
