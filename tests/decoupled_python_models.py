"""Decoupled Python models as people write them: text in, many texts out; numbers repeated; one that never ends; a flood."""

from pathlib import Path

from python_models import REPEAT, REPEAT_CONFIG, write_python_model

SPEAK_CONFIG = """
backend: "python"
input { name: "PROMPT" data_type: TYPE_STRING dims: [1] }
input { name: "STREAM" data_type: TYPE_BOOL dims: [1] optional: true }
output { name: "TEXT" data_type: TYPE_STRING dims: [1] }
model_transaction_policy { decoupled: true }
"""

SPEAK = """
import json


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            prompt = pb_utils.get_input_tensor_by_name(request, "PROMPT").as_numpy().ravel()[0]
            parameters = json.loads(request.parameters())
            for word in prompt.split()[: parameters.get("most", 1000)]:
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("TEXT", np.array([word], np.object_))]))
            if parameters.get("fails"):
                sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError("a bad word")))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

ENDLESS = """
import os
import threading
import time


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            threading.Thread(target=self.answer, args=(request.get_response_sender(), request.request_id())).start()

    def answer(self, sender, name):
        while not sender.is_cancelled():
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([1], np.int32))]))
            time.sleep(0.005)
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        open(os.path.join(pb_utils.get_model_dir(), "cancelled_" + name), "w").close()
"""

FLOOD_CONFIG = REPEAT_CONFIG.replace("dims: [1]", "dims: [-1]")

FLOOD = """
import threading


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            count, size = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().tolist()
            threading.Thread(target=self.answer, args=(request.get_response_sender(), count, size)).start()

    def answer(self, sender, count, size):
        for number in range(count):
            if sender.is_cancelled():
                break
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.full(size, number, np.int32))]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


def write_decoupled_models(repository: Path) -> None:
    """`speak`, `repeat`, `endless` and `flood`."""
    write_python_model(repository, "speak", SPEAK, SPEAK_CONFIG)
    write_python_model(repository, "repeat", REPEAT, REPEAT_CONFIG)
    write_python_model(repository, "endless", ENDLESS, REPEAT_CONFIG)
    write_python_model(repository, "flood", FLOOD, FLOOD_CONFIG)
