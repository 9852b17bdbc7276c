"""A model, one that asks it twice, an ensemble of it, and a decoupled one, for tests of traces; and how those are read."""

import json
from pathlib import Path
from typing import Any

from decoupled_python_models import ENDLESS
from ensemble_models import ensemble, tensor, write_ensemble
from python_models import IDENTITY_CONFIG, REPEAT, REPEAT_CONFIG, write_python_model

TELLING = """
class TritonPythonModel:
    def execute(self, requests):
        context = requests[0].trace().get_context() or ""
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", np.frombuffer(context.encode(), np.uint8).astype(np.float32))])]
"""
ASKING = """
class TritonPythonModel:
    def execute(self, requests):
        def ask(request, **more):
            return pb_utils.InferenceRequest(
                model_name="telling", inputs=request.inputs(), requested_output_names=["OUTPUT0"], **more
            ).exec()

        ask(requests[0])
        return [pb_utils.InferenceResponse(ask(requests[0], trace=requests[0].trace()).output_tensors())]
"""


def write_traced_models(repository: Path) -> Path:
    """`telling` answers the characters of the context that it gets, `asking` what `telling` says, `pair` is of two `telling`, `repeat`
    answers each number alone, `endless` answers until nobody is there."""
    write_python_model(repository, "telling", TELLING)
    write_python_model(repository, "asking", ASKING, IDENTITY_CONFIG)
    write_python_model(repository, "repeat", REPEAT, REPEAT_CONFIG)
    write_python_model(repository, "endless", ENDLESS, REPEAT_CONFIG)
    steps = [("telling", {"INPUT0": "IN"}, {"OUTPUT0": "MID"}), ("telling", {"INPUT0": "MID"}, {"OUTPUT0": "OUT"})]
    write_ensemble(repository, "pair", ensemble([tensor("IN", "-1")], [tensor("OUT", "-1")], steps, 0))
    return repository


def read_traces(file: Path) -> dict[int, dict[str, Any]]:
    """By id: what is said of a request, `times` as pairs of name and time in the order of the file, and `tensors`."""
    found: dict[int, dict[str, Any]] = {}
    for one in json.loads(file.read_text()):
        trace = found.setdefault(one.pop("id"), {"times": [], "tensors": []})
        trace["times"] += [(stamp["name"], stamp["ns"]) for stamp in one.pop("timestamps", ())]
        if "activity" in one:
            trace["tensors"].append((one.pop("activity"), one.pop("tensor")))
        trace.update(one)
    return found
