"""The stand-in for the published DenseNet: the same graph, numbers that are finite, the same everywhere."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from tcli_server.backends.onnxruntime.graph import read_signature
from tcli_server.signature import TensorSignature

PUBLISHED_SIZE = 32_719_461


def test_it_runs_and_its_answers_are_finite(placeholder_file: Path):
    session = onnxruntime.InferenceSession(str(placeholder_file), providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(0).random((1, 3, 224, 224), np.float32)
    (answer,) = session.run(None, {"data_0": picture})
    (other,) = session.run(None, {"data_0": -picture})
    assert answer.shape == (1, 1000, 1, 1)
    assert np.isfinite(answer).all()
    assert 0.1 < answer.std() < 10
    assert np.abs(answer - other).max() > 0.01


def test_it_has_the_published_graphs_structure(placeholder_file: Path):
    model = onnx.load(placeholder_file)
    onnx.checker.check_model(model, full_check=True)
    ops = Counter(node.op_type for node in model.graph.node)
    assert ops["Conv"] == ops["BatchNormalization"] == ops["Mul"] == ops["Add"] == ops["Relu"] == 121
    assert ops["Concat"] == 58
    assert model.opset_import[0].version == 7
    assert abs(placeholder_file.stat().st_size / PUBLISHED_SIZE - 1) < 0.01


def test_its_signature_has_no_weights_in_it(placeholder_file: Path):
    signature = read_signature(placeholder_file)
    assert signature.inputs == (TensorSignature("data_0", "FP32", (1, 3, 224, 224)),)
    assert signature.outputs == (TensorSignature("fc6_1", "FP32", (1, 1000, 1, 1)),)
    assert not signature.overridable
    assert not signature.batchable


def test_its_weights_are_the_same_on_every_machine(placeholder_file: Path):
    weights = {tensor.name: tensor for tensor in onnx.load(placeholder_file).graph.initializer}
    first = onnx.numpy_helper.to_array(weights["conv1_w"])
    assert first.shape == (64, 3, 7, 7)
    assert (
        hashlib.sha256(np.round(first, 4).tobytes()).hexdigest()
        == "5f8223c3176f675e9966cc126bb2fa34316a6e1eefed7a5b892643196fc62cac"
    )
