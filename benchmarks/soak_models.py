"""The models of `soak.py` and of its siblings: one of each kind that the server has, all tiny."""

from pathlib import Path

from onnx import TensorProto, helper, numpy_helper

SHAPE = (1, 16)
"""Of each FP32 tensor."""

_ECHO = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("OUTPUT0", pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy())]
            )
            for request in requests
        ]
"""

_REPEAT = """
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            array = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
            for _ in range(4):
                time.sleep(0.005)
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", array)]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

_SLOW = """
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            time.sleep(SECONDS)
            array = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", array)]))
        return responses
"""

_SEQUENCE = """
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
  state { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_FP32 dims: [ 16 ] }
}
"""

_ENSEMBLE = """
ensemble_scheduling {
  step { model_name: "add" input_map { key: "INPUT0" value: "INPUT0" } output_map { key: "OUTPUT0" value: "SUM" } }
  step { model_name: "echo" input_map { key: "INPUT0" value: "SUM" } output_map { key: "OUTPUT0" value: "OUTPUT0" } }
}
"""

_TENSORS = """
input { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16 ] }
output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 16 ] }
"""


def write_repository(root: Path) -> Path:
    """All of them."""
    _onnx(root, "add", "dynamic_batching { }")
    _onnx(root, "cached", "response_cache { enable: true }")
    _onnx(root, "reloaded")
    _onnx(root, "passing")
    _write(root, "sum", 'backend: "onnxruntime"' + _TENSORS + _SEQUENCE, "model.onnx", _sums())
    _python(root, "echo", _ECHO, "dynamic_batching { }")
    _python(root, "repeat", _REPEAT, "model_transaction_policy { decoupled: true }")
    write_slow(root, 0.02)
    _write(root, "both", 'platform: "ensemble"' + _TENSORS + _ENSEMBLE)
    return root


def write_slow(root: Path, seconds: float, queue_policy: str = "") -> Path:
    """A repository with `slow` alone, which takes so long for each request; the policy is of its queue."""
    more = f"dynamic_batching {{ default_queue_policy {{ {queue_policy} }} }}" if queue_policy else ""
    _python(root, "slow", _SLOW.replace("SECONDS", str(seconds)), more, max_batch_size=1)
    return root


def write_version(root: Path, model: str) -> int:
    """Add the next version of an ONNX model, which is like the others; its number."""
    version = _versions(root, model)[-1] + 1
    folder = root / model / f"new-{version}"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(_plus_one())
    folder.rename(root / model / str(version))
    return version


def remove_old_versions(root: Path, model: str) -> None:
    """All but the newest."""
    for version in _versions(root, model)[:-1]:
        folder = root / model / str(version)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def _versions(root: Path, model: str) -> list[int]:
    return sorted(int(folder.name) for folder in (root / model).iterdir() if folder.name.isdigit())


def _onnx(root: Path, name: str, more: str = "") -> None:
    _write(root, name, 'backend: "onnxruntime"' + _TENSORS + more, "model.onnx", _plus_one())


def _python(root: Path, name: str, code: str, more: str = "", max_batch_size: int = 8) -> None:
    config = 'backend: "python"' + _TENSORS + more
    _write(root, name, config, "model.py", code.encode(), max_batch_size)


def _write(
    root: Path, name: str, config: str, file: str | None = None, content: bytes = b"", max_batch_size: int = 8
) -> None:
    folder = root / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(f"max_batch_size: {max_batch_size}\n{config}\n")
    if file is not None:
        (folder / "1" / file).write_bytes(content)


def _plus_one() -> bytes:
    one = helper.make_tensor("ONE", TensorProto.FLOAT, [1], [1.0])
    return _model([helper.make_node("Add", ["INPUT0", "ONE"], ["OUTPUT0"])], {"INPUT0": 16}, {"OUTPUT0": 16}, [one])


def _sums() -> bytes:
    import numpy as np

    one = numpy_helper.from_array(np.array([1], np.float32), "ONE")
    nodes = [
        helper.make_node("Sub", ["ONE", "START"], ["KEEPS"]),
        helper.make_node("Mul", ["SUM_IN", "KEEPS"], ["KEPT"]),
        helper.make_node("Add", ["INPUT0", "KEPT"], ["OUTPUT0"]),
        helper.make_node("Identity", ["OUTPUT0"], ["SUM_OUT"]),
    ]
    return _model(nodes, {"INPUT0": 16, "SUM_IN": 16, "START": 1}, {"OUTPUT0": 16, "SUM_OUT": 16}, [one])


def _model(nodes: list, inputs: dict[str, int], outputs: dict[str, int], initializers: list) -> bytes:
    def infos(tensors: dict[str, int]) -> list:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in tensors.items()]

    graph = helper.make_graph(nodes, "soak", infos(inputs), infos(outputs), initializer=initializers)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
