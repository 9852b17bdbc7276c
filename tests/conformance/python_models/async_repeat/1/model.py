"""As `repeat`, in an execute that is a coroutine; a negative first value waits for the request that has 0 there."""

import asyncio

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.zero = None

    async def execute(self, requests):
        if self.zero is None:
            self.zero = asyncio.Event()
        await asyncio.gather(*map(self.answer, requests))

    async def answer(self, request):
        values = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().tolist()
        sender = request.get_response_sender()
        if values and values[0] < 0:
            await self.zero.wait()
        if values and values[0] == 0:
            self.zero.set()
        for value in values:
            await asyncio.sleep(0)
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([value], np.int32))]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
