"""A new model of any framework batches only where a batch was seen to give what its items give alone."""

from pathlib import Path

import numpy as np
import pytest

from python_models import HEADER
from tcli_server import Engine
from tcli_server.zoo import AddedModel, add_model


def add(source: Path, **more: object) -> AddedModel:
    return add_model(source, source.parent / "repository", "m", **more)


def test_openvino(tmp_path: Path):
    ov = pytest.importorskip("openvino")
    import openvino.opset15 as ops

    import openvino_models as models

    right = models.save(models.product(), tmp_path, "right")
    added = add(right / "1" / "model.xml")
    assert (added.config.max_batch_size, added.notes) == (8, ())
    assert added.config.HasField("dynamic_batching")
    x = models.parameter("X")
    mean = ops.reduce_mean(x, ops.constant(np.array([0])), True)
    graph = ov.Model([models.named(ops.subtract(x, mean), "Y")], [x], "m")
    wrong = models.save(graph, tmp_path, "wrong") / "1" / "model.xml"
    added = add(wrong)
    assert added.config.max_batch_size == 0
    assert list(added.config.input[0].dims) == [-1, 16]
    assert not added.config.HasField("dynamic_batching")
    assert added.notes[0].startswith("max_batch_size is 0: a batch is not what its items are alone: output 'Y' for")
    asked = add(wrong, max_batch_size=4, force=True)
    assert asked.config.max_batch_size == 4
    assert asked.notes[0].startswith("max_batch_size is 4 as asked for, but a batch is not what its items are alone")


def test_pytorch(tmp_path: Path):
    torch = pytest.importorskip("torch")
    import torch_models as models

    shapes = {"x": {0: torch.export.Dim("batch")}}
    x = (torch.ones(2, 4),)
    right = models.write_exported(tmp_path, "right", models.Identity(), x, shapes=shapes)
    assert add(right).config.max_batch_size == 8

    class OverTheBatch(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x - x.mean(0)

    added = add(models.write_exported(tmp_path, "wrong", OverTheBatch(), x, shapes=shapes))
    assert added.config.max_batch_size == 0
    assert "a batch is not what its items are alone" in added.notes[0]


def test_tensorflow(tmp_path: Path):
    tf = pytest.importorskip("tensorflow")
    import tensorflow_models as models

    assert add(models.write(tmp_path, "right", models.Identity(tf.float32))).config.max_batch_size == 8

    class OverTheBatch(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
        def call(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x - tf.reduce_mean(x, 0)}

    added = add(models.write(tmp_path, "wrong", OverTheBatch()))
    assert added.config.max_batch_size == 0
    assert "a batch is not what its items are alone" in added.notes[0]


@pytest.mark.parametrize("body", ["x", "x[:1] + 0 * x"])
def test_a_python_model_that_says_its_own_batch_size(tmp_path: Path, body: str):
    """What the model sets, a server would set again: it is told, and not changed."""
    code = f"""
class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}})
        config.add_output({{"name": "y", "data_type": "TYPE_FP32", "dims": [3]}})
        config.set_max_batch_size(4)
        return config

    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", {body})]))
        return answers
"""
    (tmp_path / "model.py").write_text(HEADER + code)
    added = add(tmp_path / "model.py")
    assert added.config.max_batch_size == 4
    if body == "x":
        assert added.notes == ()
    else:
        assert added.notes[0].startswith("the model itself sets max_batch_size to 4, but a batch is not what its items")
    with Engine(tmp_path / "repository") as engine:
        assert engine.infer("m", {"x": np.ones((1, 3), np.float32)}).outputs["y"].tolist() == [[1, 1, 1]]
