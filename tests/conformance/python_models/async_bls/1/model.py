"""Calls the models that its input describes, all at once, in an execute that is a coroutine."""

import asyncio
import json

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
    async def execute(self, requests):
        return [
            await self.answer(pb_utils.get_input_tensor_by_name(each, "CALL").as_numpy()[0].decode())
            for each in requests
        ]

    async def answer(self, text):
        given = json.loads(text)
        if given["how"] == "raise":
            raise ValueError("in a coroutine")
        try:
            result = await getattr(self, given["how"])(given["calls"])
        except Exception as error:
            result = {"raises": type(error).__name__, "error": str(error)}
        output = pb_utils.Tensor("JSON", np.array([json.dumps(result)], np.object_))
        return pb_utils.InferenceResponse([output])

    async def gather(self, calls):
        return [told(each) for each in await asyncio.gather(*(request(call).async_exec() for call in calls))]

    async def decoupled(self, calls):
        answers = await asyncio.gather(*(request(call).async_exec(decoupled=True) for call in calls))
        return [[told(each) for each in responses] for responses in answers]
