"""Adds up what a sequence sends, and answers with the whole batch that it came in."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        rows = [self.row(request) for request in requests]
        responses = []
        for request, row in zip(requests, rows, strict=True):
            if row["READY"]:
                value = int(pb_utils.get_input_tensor_by_name(request, "X").as_numpy().ravel()[0])
                self.sums[row["CORRID"]] = value + (0 if row["START"] else self.sums.get(row["CORRID"], 0))
            told = {"own": row, "batch": rows, "sum": self.sums.get(row["CORRID"]), "flags": request.flags()}
            text = np.array([[json.dumps(told)]], np.object_)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("JSON", text)]))
        return responses

    @staticmethod
    def row(request):
        row = {}
        for name in ("START", "END", "READY", "CORRID"):
            array = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            value = array.ravel().tolist()[0]
            row[name] = value.decode() if isinstance(value, bytes) else value
            row[f"{name} is"] = f"{array.dtype} {list(array.shape)}"
        return row
