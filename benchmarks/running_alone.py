"""Runs a model file by its framework alone, as the answer that a served one must give."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


def onnxruntime(file: Path) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    scalars = {node.name for node in session.get_inputs() if not node.shape}
    outputs = [node.name for node in session.get_outputs()]

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = {name: array.reshape(()) if name in scalars else array for name, array in inputs.items()}
        return dict(zip(outputs, session.run(outputs, given), strict=True))

    return run


def openvino(file: Path) -> Run:
    import openvino as ov

    compiled = ov.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    scalars = {
        name
        for port in compiled.inputs
        if not port.get_partial_shape().rank.is_dynamic and not len(port.get_partial_shape())
        for name in port.get_names()
    }
    names = [sorted(port.get_names()) for port in compiled.outputs]

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        answers = compiled({name: a.reshape(()) if name in scalars else a for name, a in inputs.items()})
        return {name: answers[index] for index, each in enumerate(names) for name in each}

    return run


def tensorflow(folder: Path) -> Run:
    import tensorflow as tf

    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():  # not tf.saved_model.load, which wants the optimiser, too
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
    signature = loaded.signature_def["serving_default"]

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        fetched = {name: info.name for name, info in signature.outputs.items()}
        fed = {signature.inputs[name].name: array for name, array in inputs.items()}
        answers: dict[str, np.ndarray] = session.run(fetched, fed)
        return answers

    return run


def torch(file: Path) -> Run:
    import torch as library

    module = library.jit.load(str(file))

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        module.reset_states()
        with library.inference_mode():
            answer = module(*[library.from_numpy(array.copy()) for array in inputs.values()], 16000)
        return {"OUTPUT__0": answer.numpy()}

    return run


def wrap_silero(file: Path, target: Path) -> None:
    """Silero's TorchScript takes a number beside its tensor, and remembers: around it a module that takes a tensor only."""
    import torch as library

    class Chunk(library.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vad = library.jit.load(str(file))

        def forward(self, x: library.Tensor) -> library.Tensor:
            self.vad.reset_states()
            answer: library.Tensor = self.vad(x, 16000)
            return answer

    library.jit.script(Chunk()).save(str(target))


RUNTIMES: dict[str, Callable[[Path], Run]] = {
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "tensorflow": tensorflow,
    "torch": torch,
}
