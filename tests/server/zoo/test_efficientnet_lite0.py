"""The default model's numbers, against torch and against a photo that everybody can judge."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import lite0_in_torch
from tcli_server.zoo.efficientnet_lite0 import weights_file
from tcli_server.zoo.imagenet import class_names

PHOTO = Path(__file__).parents[3] / "examples" / "images" / "coffee.jpg"
ESPRESSO = 967

# Printed by tests/lite0_in_torch.py with torch 2.13.0 (CPU): the five likeliest classes of each made-up picture.
FROM_TORCH = (
    {905: 0.077629, 904: 0.033097, 916: 0.029602, 753: 0.023769, 782: 0.019805},
    {916: 0.084055, 905: 0.059334, 782: 0.031132, 651: 0.028233, 851: 0.021808},
)


@pytest.fixture(scope="module")
def session(efficientnet_file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(efficientnet_file), providers=["CPUExecutionProvider"])


def photo() -> np.ndarray:
    """The sample photo as [1, 3, 224, 224] with values 0..255."""
    with Image.open(PHOTO) as image:
        pixels = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR), np.float32)
    return pixels.transpose(2, 0, 1)[None]


def test_it_computes_what_torch_computed(session: onnxruntime.InferenceSession):
    (answers,) = session.run(None, {"image": lite0_in_torch.made_up_pictures()})
    for row, expected in zip(answers, FROM_TORCH, strict=True):
        assert row.argsort()[::-1][:5].tolist() == list(expected)
        np.testing.assert_allclose(row[list(expected)], list(expected.values()), atol=1e-5)


def test_it_computes_what_torch_computes(session: onnxruntime.InferenceSession):
    pytest.importorskip("torch")
    pictures = lite0_in_torch.made_up_pictures()
    expected = lite0_in_torch.probabilities(str(weights_file()), pictures)
    np.testing.assert_allclose(session.run(None, {"image": pictures})[0], expected, atol=1e-5)


@pytest.mark.parametrize("scaled", [lambda x: (x - 127) / 128, lambda x: x / 127.5 - 1], ids=["exact", "INCEPTION"])
def test_the_photo_is_an_espresso(session: onnxruntime.InferenceSession, scaled):
    (answer,) = session.run(None, {"image": scaled(photo())})
    assert answer[0].argmax() == ESPRESSO
    assert class_names()[ESPRESSO] == "espresso"
    assert 0.85 < answer[0][ESPRESSO] < 0.95
    assert answer.sum() == pytest.approx(1, abs=1e-4)


def test_a_batch_is_its_items_one_by_one(session: onnxruntime.InferenceSession):
    pictures = lite0_in_torch.made_up_pictures()
    (together,) = session.run(None, {"image": pictures})
    apart = np.concatenate([session.run(None, {"image": pictures[i : i + 1]})[0] for i in range(2)])
    np.testing.assert_allclose(together, apart, atol=1e-6)


def test_the_graph_is_valid_and_says_where_it_is_from(efficientnet_file: Path):
    model = onnx.load(efficientnet_file)
    onnx.checker.check_model(model, full_check=True)
    assert len(model.graph.node) == 95
    assert "Apache-2.0" in model.graph.doc_string


def test_padding_is_at_the_end_where_tensorflow_puts_it(efficientnet_file: Path):
    attributes = [
        {attribute.name: list(attribute.ints) for attribute in node.attribute}
        for node in onnx.load(efficientnet_file).graph.node
        if node.op_type == "Conv"
    ]
    pads = [entry["pads"] for entry in attributes if entry["strides"] == [2, 2]]
    assert pads == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 2, 2], [0, 0, 1, 1], [1, 1, 2, 2]]
