"""A model, one that asks it twice, and an ensemble of it: requests that follow from others, for tests of traces."""

from pathlib import Path

from ensemble_models import ensemble, tensor, write_ensemble
from python_models import IDENTITY_CONFIG, write_python_model

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
    """`telling` answers the characters of the context that it gets, `asking` what `telling` says, `pair` is of two `telling`."""
    write_python_model(repository, "telling", TELLING)
    write_python_model(repository, "asking", ASKING, IDENTITY_CONFIG)
    steps = [("telling", {"INPUT0": "IN"}, {"OUTPUT0": "MID"}), ("telling", {"INPUT0": "MID"}, {"OUTPUT0": "OUT"})]
    write_ensemble(repository, "pair", ensemble([tensor("IN", "-1")], [tensor("OUT", "-1")], steps, 0))
    return repository
