"""Models whose batches are right or wrong, written into a repository."""

from pathlib import Path

from python_models import write_python_model

ROWS = """
class TritonPythonModel:
    def execute(self, requests):
        all_of_them = np.concatenate([self.x(request) for request in requests])
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", np.asarray(self.y(self.x(request), all_of_them), np.float32))])
            for request in requests
        ]

    def x(self, request):
        return pb_utils.get_input_tensor_by_name(request, "x").as_numpy()

    def y(self, x, all_of_them):
        return {body}
"""


def python_config(more: str = "", max_batch_size: int = 8) -> str:
    """The configuration of a Python model with 4 floats x and 4 floats y."""
    return f"""
backend: "python"
max_batch_size: {max_batch_size}
input {{ name: "x" data_type: TYPE_FP32 dims: [ 4 ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ 4 ] }}
{more}
"""


def write_rows(repository: Path, body: str, name: str = "m", more: str = "") -> Path:
    """A Python model whose y is an expression of x, a request's rows, and `all_of_them`, those of its batch."""
    return write_python_model(repository, name, ROWS.replace("{body}", body), python_config(more))
