"""Calls the model that its input describes, and answers with what came of it, as JSON."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import triton_python_backend_utils as pb_utils


def tensors(given):
    """name -> [numpy type, values]"""
    return [pb_utils.Tensor(name, np.array(values, kind)) for name, (kind, values) in given.items()]


def request(call):
    named = {key: value for key, value in call.items() if key not in ("inputs", "how", "outputs", "model")}
    return pb_utils.InferenceRequest(
        inputs=tensors(call["inputs"]),
        requested_output_names=call.get("outputs", []),
        model_name=call["model"],
        **named,
    )


def values(tensor):
    return [each.decode() if isinstance(each, bytes) else each for each in tensor.as_numpy().ravel().tolist()]


def told(response):
    if response.has_error():
        return {"error": response.error().message(), "code": str(response.error().code()).rsplit(".")[-1]}
    answer = {tensor.name(): values(tensor) for tensor in response.output_tensors()}
    parameters = response.parameters() if hasattr(response, "parameters") else ""  # not in Triton 2.51
    return {"outputs": answer, **({"parameters": json.loads(parameters)} if parameters not in ("", "{}") else {})}


class TritonPythonModel:
    def initialize(self, args):
        try:
            add = {"INPUT0": ["float32", [[1, 1, 1, 1]]], "INPUT1": ["float32", [[1, 1, 1, 1]]]}
            self.early = told(request({"model": "add_sub", "inputs": add}).exec())
        except Exception as error:
            self.early = {"raises": type(error).__name__, "error": str(error)}

    def execute(self, requests):
        return [
            self.answer(pb_utils.get_input_tensor_by_name(each, "CALL").as_numpy()[0].decode()) for each in requests
        ]

    def answer(self, text):
        call = json.loads(text)
        try:
            result = getattr(self, call.get("how", "exec"))(call)
        except Exception as error:
            result = {"raises": type(error).__name__, "error": str(error)}
        output = pb_utils.Tensor("JSON", np.array([json.dumps(result)], np.object_))
        return pb_utils.InferenceResponse([output])

    def exec(self, call):
        return told(request(call).exec())

    def decoupled(self, call):
        return [told(each) for each in request(call).exec(decoupled=True)]

    def twice(self, call):
        """The same iterator, walked twice."""
        responses = request(call).exec(decoupled=True)
        return [[told(each) for each in responses], [told(each) for each in responses]]

    def first_only(self, call):
        responses = request(call).exec(decoupled=True)
        return told(next(iter(responses)))

    def cancelled(self, call):
        responses = request(call).exec(decoupled=True)
        first = told(next(iter(responses)))
        responses.cancel()
        return [first, len(list(responses))]

    def threads(self, call):
        with ThreadPoolExecutor(4) as pool:
            return [told(each) for each in pool.map(lambda _: request(call).exec(), range(4))]

    def sequence(self, call):
        """Three requests of one sequence, the first and the last with their flags."""
        answers = []
        for flags in (1, 0, 2):
            given = request(call)
            given.set_flags(flags)
            answers.append(json.loads(told(given.exec())["outputs"]["JSON"][0])["sum"])
        return answers

    def error_handled(self, call):
        answer = told(request(call).exec())
        return {"handled": "error" in answer}

    def in_initialize(self, call):
        return self.early

    def reused(self, call):
        """A request may be run more than once."""
        given = request(call)
        return [told(given.exec()), told(given.exec())]

    def passed_on(self, call):
        """The answer's tensor goes into the next request as it is."""
        first = request(call).exec()
        tensor = pb_utils.get_output_tensor_by_name(first, "OUTPUT0")
        inputs = [pb_utils.Tensor(name, tensor.as_numpy()) for name in ("INPUT0", "INPUT1")]
        return told(
            pb_utils.InferenceRequest(inputs=inputs, requested_output_names=["OUTPUT0"], model_name="add_sub").exec()
        )
