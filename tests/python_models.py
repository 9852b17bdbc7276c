"""Python models for tests: a folder with a configuration and a `model.py`."""

from pathlib import Path
from textwrap import dedent

HEADER = "import numpy as np\nimport triton_python_backend_utils as pb_utils\n"

IDENTITY_CONFIG = """
backend: "python"
input { name: "INPUT0" data_type: TYPE_FP32 dims: [-1] }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [-1] }
"""

IDENTITY = """
class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("OUTPUT0", pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy())]
            )
            for request in requests
        ]
"""

REPEAT_CONFIG = """
backend: "python"
input { name: "IN" data_type: TYPE_INT32 dims: [-1] }
output { name: "OUT" data_type: TYPE_INT32 dims: [1] }
model_transaction_policy { decoupled: true }
"""

REPEAT = """
import threading


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().copy()
            threading.Thread(target=self.answer, args=(request.get_response_sender(), values)).start()

    def answer(self, sender, values):
        for value in values:
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([value], np.int32))]))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


def write_python_model(repository: Path, name: str, code: str, config: str | None = IDENTITY_CONFIG) -> Path:
    """A model in a repository; `code` comes after the imports of numpy and pb_utils."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(HEADER + dedent(code))
    if config is not None:
        (folder / "config.pbtxt").write_text(dedent(config))
    return folder
