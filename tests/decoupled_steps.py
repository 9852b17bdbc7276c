"""Decoupled Python models for the steps of ensembles."""

from pathlib import Path

import numpy as np
from onnx import TensorProto

import onnx_models
from ensemble_models import ensemble, tensor, write_ensemble
from python_models import write_python_model
from repositories import write_model
from scheduled import Answers
from tcli_server import Engine, InferenceRequest, InferenceResponse

CONFIG = """
backend: "python"
input {{ name: "IN" data_type: TYPE_INT32 dims: [ {dims} ] }}
output {{ name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] }}
output {{ name: "IDX" data_type: TYPE_INT32 dims: [ 1 ] }}
model_transaction_policy {{ decoupled: true }}
"""

REPEAT = """
class TritonPythonModel:
    '''Sends each element of IN, and its index; a negative one is an error.'''

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for index, value in enumerate(pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().copy()):
                if sender.is_cancelled():
                    break
                if value < 0:
                    response = pb_utils.InferenceResponse(error=pb_utils.TritonError(f"no {value}"))
                else:
                    outputs = [("OUT", value), ("IDX", index)]
                    response = pb_utils.InferenceResponse(
                        [pb_utils.Tensor(name, np.array([number], np.int32)) for name, number in outputs]
                    )
                sender.send(response)
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

SQUARE = """
import threading


class TritonPythonModel:
    '''Sends the number n n times, from a thread; the last time with the final flag.'''

    def execute(self, requests):
        for request in requests:
            number = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().copy()
            threading.Thread(target=self.answer, args=(request.get_response_sender(), number)).start()

    def answer(self, sender, number):
        count = int(number[0])
        for index in range(count):
            tensors = [pb_utils.Tensor("OUT", number), pb_utils.Tensor("IDX", np.array([index], np.int32))]
            sender.send(pb_utils.InferenceResponse(tensors), int(index == count - 1))
        if not count:
            sender.send(flags=1)
"""

ADD = """
class TritonPythonModel:
    def execute(self, requests):
        return [self.sum(request) for request in requests]

    def sum(self, request):
        total = sum(tensor.as_numpy() for tensor in request.inputs())
        return pb_utils.InferenceResponse([pb_utils.Tensor("SUM", total.astype(np.int32))])
"""
ADD_CONFIG = """
backend: "python"
input {{ name: "A" data_type: TYPE_INT32 dims: [ 1 ] }}
input {{ name: "B" data_type: TYPE_INT32 dims: [ {dims} ] }}
output {{ name: "SUM" data_type: TYPE_INT32 dims: [ 1 ] }}
"""
IDENTITY_CONFIG = """
backend: "onnxruntime"
input { name: "INPUT0" data_type: TYPE_INT32 dims: [ -1 ] } output { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ -1 ] }
"""


def integers(name: str, dims: str = "1") -> str:
    """A tensor of the ensemble."""
    return tensor(name, dims, "INT32")


def write_steps(repository: Path) -> None:
    """`repeat`, `square`, `add` and `identity`, all of INT32."""
    write_python_model(repository, "repeat", REPEAT, CONFIG.format(dims=-1))
    write_python_model(repository, "square", SQUARE, CONFIG.format(dims=1))
    write_python_model(repository, "add", ADD, ADD_CONFIG.format(dims=1))
    write_model(repository, "identity", onnx_models.identity(TensorProto.INT32, ("N",)), IDENTITY_CONFIG)


STEPS = {
    "simple": [("repeat", {"IN": "IN"}, {"OUT": "OUT", "IDX": "IDX"})],
    "sequential": [
        ("identity", {"INPUT0": "x"}, {"OUTPUT0": "OUT"}),
        ("repeat", {"IN": "IN"}, {"OUT": "x", "IDX": "IDX"}),
    ],
    "fan": [
        ("repeat", {"IN": "IN"}, {"OUT": "x"}),
        ("identity", {"INPUT0": "x"}, {"OUTPUT0": "y"}),
        ("add", {"A": "x", "B": "y"}, {"SUM": "OUT"}),
    ],
    "squares": [("repeat", {"IN": "IN"}, {"OUT": "x"}), ("square", {"IN": "x"}, {"OUT": "OUT", "IDX": "IDX"})],
    "wrapped": [("sequential", {"IN": "IN"}, {"OUT": "OUT"})],
    "nested": [("sequential", {"IN": "IN"}, {"OUT": "x"}), ("square", {"IN": "x"}, {"OUT": "OUT"})],
}
"""Ensembles of those: all take IN and give OUT, and some IDX."""


def write_decoupled(repository: Path, *names: str, more: str = "") -> None:
    """Ensembles of `STEPS`; `more` goes into ensemble_scheduling."""
    for name in names:
        given = [value for _, _, gives in STEPS[name] for value in gives.values()]
        outputs = [integers(each) for each in ("OUT", "IDX") if each in given]
        text = ensemble([integers("IN", "-1")], outputs, STEPS[name], 0)
        write_ensemble(repository, name, text.replace("ensemble_scheduling {", f"ensemble_scheduling {{ {more}"))


def ask(engine: Engine, model: str, values: object, **more: object) -> tuple[InferenceRequest, Answers]:
    """A request whose IN are these numbers, on its way."""
    answers = Answers()
    more.setdefault("reply", answers)
    request = InferenceRequest(model, {"IN": np.array(values, np.int32)}, takes_many=True, **more)
    engine.submit(request)
    return request, answers


def heard(answers: Answers, count: int) -> list[InferenceResponse]:
    """All responses, the last of which may be empty."""
    responses = answers.wait(count)
    if not responses[-1].final:
        responses = answers.wait(count + 1)
        assert responses[-1].empty
    assert [response.final for response in responses] == [False] * (len(responses) - 1) + [True]
    assert all(response.error is None for response in responses), responses
    return [response for response in responses if not response.empty]


def numbers(responses: list[InferenceResponse], name: str = "OUT") -> list[int]:
    """What they say."""
    return [int(response.outputs[name].item()) for response in responses]
