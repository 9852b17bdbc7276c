"""What lies beside a model: class names and how it takes pictures, and files that are broken or hostile."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnx_models
from tcli_server import Engine
from tcli_server.models.check import check_repository
from tcli_server.repository import read_config
from tcli_server.zoo import AddedModel, add_model, add_pictures

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
NAMES = {"id2label": {"0": "cat", "1": "dog", "2": "cow"}}


def classifier(
    folder: Path, shape: tuple = ("N", 3, 32, 32), kind: int = TensorProto.FLOAT, classes: object = 3
) -> Path:
    """Answers the mean of each channel."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values"], ["scores"], axes=[2, 3], keepdims=0),
    ]
    infos = [
        helper.make_tensor_value_info("pixels", kind, shape),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [shape[0], classes]),
    ]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    path = folder / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString()
    )
    return path


def add(tmp_path: Path, files: dict[str, object], max_batch_size: int | None = 0, **model: object) -> AddedModel:
    """Add the classifier with files beside it: objects as JSON, text and bytes as they are."""
    source = classifier(tmp_path / "net", **model)
    for name, content in files.items():
        path = source.parent / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    added = add_model(source.parent, tmp_path / "models", max_batch_size=max_batch_size)
    assert check_repository(tmp_path / "models") == []
    assert read_config(added.path / "config.pbtxt") == added.config
    return added


def parameters(added: AddedModel) -> dict[str, str]:
    return {key.removeprefix("tcli_image_"): value.string_value for key, value in added.config.parameters.items()}


def labels(added: AddedModel) -> list[str]:
    file = added.path / "labels.txt"
    assert bool(added.config.output[0].label_filename) == file.exists()
    return file.read_text("utf-8").splitlines() if file.exists() else []


# --- class names ---


def test_class_names_of_config_json_are_served(tmp_path: Path):
    added = add(tmp_path, {"config.json": {**NAMES, "x": float("nan")}}, None)
    assert labels(added) == ["cat", "dog", "cow"]
    assert "the 3 class names of 'scores' are from config.json" in added.notes
    with Engine(tmp_path / "models") as engine:
        assert engine.model("net").spec.labels["scores"] == ["cat", "dog", "cow"]


def test_labels_txt_counts_before_config_json_and_the_option_before_both(tmp_path: Path):
    added = add(tmp_path, {"config.json": NAMES, "labels.txt": "a\r\nb b\nc\n\n"})
    assert labels(added) == ["a", "b b", "c"]
    (tmp_path / "mine.txt").write_text("x\ny\nz\n")
    added = add_model(tmp_path / "net", tmp_path / "models", labels=tmp_path / "mine.txt", max_batch_size=0, force=True)
    assert labels(added) == ["x", "y", "z"]
    assert not any("class names" in note for note in added.notes)


def test_names_are_one_line_each(tmp_path: Path):
    named = {"0": "two\nlines\r\n", "1": "\x1b[31mred\u2028\x00", "2": "caf\u00e9 \ud800"}
    assert labels(add(tmp_path, {"config.json": {"id2label": named}})) == ["two lines", "[31mred", "caf\u00e9"]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["a", "b", "c"], ["a", "b", "c"]),
        ({"2": "c", "0": "a", "1": 7}, ["a", "7", "c"]),
        ({"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, []),
        ({}, []),
        (None, []),
    ],
)
def test_forms_of_names(tmp_path: Path, names: object, wanted: list[str]):
    assert labels(add(tmp_path, {"config.json": {"id2label": names}})) == wanted


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"0": "a", "1": "b", "3": "d"}, "its id2label has no name for class 2, but one for class 3"),
        ({"0": "a", "1": "b"}, "it names 2 classes, but no output has as many: 'scores' has 3"),
        ({"0": "a", "x": "b"}, "the class 'x', which is no number"),
        ({"0": "a", "99999999999999": "b"}, "which is no number"),
        ({"0": "a", "00": "b"}, "names class 0 twice"),
        ({"0": {"a": 1}}, "names class 0 with something that is no text"),
        ("cat", "its id2label is neither an object nor a list"),
        (3, "its id2label is neither an object nor a list"),
    ],
)
def test_names_that_do_not_fit_are_left_out_and_told(tmp_path: Path, names: object, says: str):
    added = add(tmp_path, {"config.json": {"id2label": names}})
    assert labels(added) == []
    assert [note for note in added.notes if "config.json was not used: " in note and says in note]


# --- files that are broken ---


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is no JSON"),
        (b"{", "it is no JSON"),
        (b"[" * 200_000, "it is nested too deeply"),
        (b'{"a":' * 200_000, "it is nested too deeply"),
        (b"\xff\xfe\x00", "it is no UTF-8 text"),
        (b"[1, 2]", "it holds a list of 2, expected an object"),
        (b"9" * 5000, "it is no JSON"),
        (b"NaN", "expected an object"),
        (b"<!doctype html>", "it is no JSON"),
    ],
)
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_a_broken_file_is_told_and_the_model_added_without_it(tmp_path: Path, name: str, content: bytes, says: str):
    added = add(tmp_path, {name: content})
    assert [note for note in added.notes if f"{name} was not used: " in note and says in note]
    assert (labels(added), parameters(added)) == ([], {})


@pytest.mark.parametrize("kind", ["huge", "folder", "pipe", "link to nothing", "link to a device"])
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "labels.txt"])
def test_what_is_no_small_file_is_not_read(tmp_path: Path, kind: str, name: str):
    path = classifier(tmp_path / "net").parent / name
    if kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 30)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "link to a device" else tmp_path / "nothing")
    added = add_model(tmp_path / "net", tmp_path / "models", max_batch_size=0)
    assert [note for note in added.notes if f"{name} was not used: " in note]
    assert check_repository(tmp_path / "models") == []


# --- pictures ---


@pytest.mark.parametrize(
    ("processor", "wanted"),
    [
        ({"size": 32, **IMAGENET}, {"scaling": "IMAGENET"}),
        ({"size": 32, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, {"scaling": "INCEPTION"}),
        (
            {"size": {"height": 32, "width": 32}, "image_mean": 0.5, "image_std": 0.25, "resample": 3},
            {"scale": "1/255", "mean": "0.5", "std": "0.25", "interpolation": "bicubic"},
        ),
        (
            {
                "size": {"shortest_edge": 36},
                "crop_size": {"height": 32, "width": 32},
                "do_center_crop": True,
                **IMAGENET,
            },
            {"scaling": "IMAGENET", "resize": "shorter_side", "resize_to": "36"},
        ),
        (
            {"size": 36, "crop_size": 32, "feature_extractor_type": "CLIPFeatureExtractor", "do_normalize": False},
            {"scale": "1/255", "resize": "shorter_side", "resize_to": "36"},
        ),
        (
            {"size": 36, "crop_size": 32, "feature_extractor_type": "ViTFeatureExtractor", "do_rescale": False},
            {"resize": "exact", "resize_to": "36x36"},
        ),
        (
            {
                "size": {"shortest_edge": 32},
                "image_processor_type": "ConvNextImageProcessor",
                "crop_pct": 0.5,
                **IMAGENET,
            },
            {"scaling": "IMAGENET", "resize": "shorter_side", "resize_to": "64"},
        ),
        (
            {"size": 32, "do_flip_channel_order": True, "rescale_factor": 0.1, "do_normalize": False},
            {"scale": "1/10", "color_format": "BGR"},
        ),
        (
            {
                "size": 32,
                "image_processor_type": "EfficientNetImageProcessor",
                "image_mean": [0, 0, 0],
                "image_std": 0.5,
            },
            {"scale": "1/255", "mean": "0.0", "std": "0.25"},
        ),
        (
            {"size": 32, "rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False},
            {"scaling": "INCEPTION"},
        ),
        ({"image_processor": {"size": 32, **IMAGENET}}, {"scaling": "IMAGENET"}),
        ({"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000, "do_normalize": True}, {}),
        ({"do_resize": False, **IMAGENET}, {"scaling": "IMAGENET"}),
    ],
)
def test_what_image_processors_say(tmp_path: Path, processor: dict, wanted: dict[str, str]):
    added = add(tmp_path, {"preprocessor_config.json": processor})
    assert parameters(added) == wanted
    assert bool(wanted) == any(
        "how a picture becomes the input is from preprocessor_config.json" in n for n in added.notes
    )


def test_what_timm_says(tmp_path: Path):
    config = {
        "architecture": "resnet18",
        "label_names": ["a", "b", "c"],
        "pretrained_cfg": {
            "input_size": [3, 32, 32],
            "crop_pct": 0.8,
            "interpolation": "bicubic",
            "mean": IMAGENET["image_mean"],
            "std": IMAGENET["image_std"],
        },
    }
    added = add(tmp_path, {"config.json": config})
    wanted = {"scaling": "IMAGENET", "resize": "shorter_side", "resize_to": "40", "interpolation": "bicubic"}
    assert (parameters(added), labels(added)) == (wanted, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("processor", "says"),
    [
        ({"size": "big", **IMAGENET}, "its size is 'big', expected a side in pixels"),
        ({"size": -1, **IMAGENET}, "its size is -1"),
        ({"size": True, **IMAGENET}, "its size is true"),
        ({"size": 10**400, **IMAGENET}, "its size is a huge number"),
        ({"size": {"height": 32, "width": None}, **IMAGENET}, "a size without height and width is not done here"),
        ({"size": [1, 2, 3], **IMAGENET}, "its size is a list of 3"),
        ({"size": 32, "image_mean": [0.5, float("nan"), 0.5]}, "its image_mean is NaN, expected a number"),
        ({"size": 32, "image_mean": [1, 2]}, "its image_mean is a list of 2"),
        ({"size": 32, "image_mean": {"a": 1}}, "its image_mean is an object"),
        ({"size": 32, "image_std": [0, 0, 0], "image_mean": 0}, "its image_std is not above 0"),
        ({"size": 32, "rescale_factor": 0}, "its rescale_factor is 0"),
        ({"size": 32, "rescale_factor": 1e400}, "its rescale_factor is Infinity"),
        ({"size": 32, "do_rescale": "yes", **IMAGENET}, "its do_rescale is 'yes', expected true or false"),
        ({"size": 32, "resample": 17, **IMAGENET}, "its resample is 17, expected 0 to 5"),
        ({"size": 64, **IMAGENET}, "it makes 64x64 of a picture, the model takes 32x32: it is stretched to that"),
        ({"size": 32, "crop_size": 40, **IMAGENET}, "borders around a picture of 32x32 is not done here"),
        ({"size": {"shortest_edge": 32}, **IMAGENET}, "a shorter side without a cut"),
        ({"size": 32, "do_pad": True, **IMAGENET}, "do_pad is not done here"),
        ({"size": 32, "rescale_factor": 1e-200}, "its rescale_factor is 1e-200, expected a number"),
        (
            {"image_processor_type": "ConvNext", "size": {"shortest_edge": 32}, "crop_pct": 1e-320},
            "its crop_pct is 1e-320, expected a number",
        ),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, processor: dict, says: str):
    added = add(tmp_path, {"preprocessor_config.json": processor})
    assert [note for note in added.notes if "preprocessor_config.json" in note and says in note]


def test_a_factor_that_makes_pixels_large_is_taken(tmp_path: Path):
    added = add(tmp_path, {"preprocessor_config.json": {"size": 32, "rescale_factor": 1e7}})
    assert parameters(added)["scale"] == "10000000.0"


def test_numbers_that_bytes_cannot_hold_are_left_out(tmp_path: Path):
    added = add(tmp_path, {"preprocessor_config.json": {"size": 32, **IMAGENET}}, kind=TensorProto.UINT8)
    assert parameters(added) == {}
    assert any("the model's UINT8 input cannot hold" in note for note in added.notes)


def test_a_model_that_takes_no_picture_does_without(tmp_path: Path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "model.onnx").write_bytes(onnx_models.add_sub())
    (tmp_path / "net" / "preprocessor_config.json").write_text(json.dumps(IMAGENET))
    added = add_model(tmp_path / "net", tmp_path / "models")
    assert parameters(added) == {}
    assert any("preprocessor_config.json was not used: " in n and "does not take one picture" in n for n in added.notes)


@pytest.mark.parametrize("shape", [("N", "C", "H", "W"), ("N", 3, "H", "W")])
def test_pictures_of_any_size_get_the_size_that_the_processor_makes(tmp_path: Path, shape: tuple):
    added = add(tmp_path, {"preprocessor_config.json": {"size": 48, **IMAGENET}}, None, shape=shape)
    assert list(added.config.input[0].dims) == [3, -1, -1]
    assert parameters(added) == {"scaling": "IMAGENET", "height": "48", "width": "48"}
    pictures = add_pictures(tmp_path / "models", added.config)
    assert list(read_config(pictures.preprocess / "config.pbtxt").output[0].dims) == [3, 48, 48]
    assert not pictures.notes


def test_add_pictures_does_what_the_processor_does(tmp_path: Path):
    """Against the steps written out with Pillow and numpy."""
    from io import BytesIO

    from PIL import Image

    processor = {
        "size": {"shortest_edge": 40},
        "crop_size": 32,
        "resample": 3,
        "do_center_crop": True,
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.3, 0.4],
    }
    added = add(tmp_path, {"preprocessor_config.json": processor})
    pictures = add_pictures(tmp_path / "models", added.config)
    pixels = np.random.default_rng(1).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    small = Image.fromarray(pixels).resize((64, 40), Image.Resampling.BICUBIC).crop((16, 4, 48, 36))
    values = (np.asarray(small, np.float64) / 255 - processor["image_mean"]) / processor["image_std"]
    with Engine(tmp_path / "models") as engine:
        asked = {"IMAGE": np.array([[file.getvalue()]], np.object_)}
        answer = engine.infer(pictures.ensemble.name, asked).outputs["scores"]
    np.testing.assert_allclose(answer[0], values.mean((0, 1)), atol=5e-3)  # a part is resized, not the whole


def test_facts_lie_above_a_folder_of_one_format(tmp_path: Path):
    """As Hugging Face's repositories have them: config.json at the top, the model in `onnx`."""
    source = classifier(tmp_path / "hub" / "onnx")
    (tmp_path / "hub" / "config.json").write_text(json.dumps(NAMES))
    for given, name in ((source, "model"), (tmp_path / "hub", "hub")):
        added = add_model(given, tmp_path / "models", max_batch_size=0)
        assert added.path.name == name
        assert labels(added) == ["cat", "dog", "cow"]
    strange = classifier(tmp_path / "hub" / "elsewhere")
    assert labels(add_model(strange, tmp_path / "models", name="alone", max_batch_size=0)) == []


def test_onnx_keeps_its_own_names(tmp_path: Path):
    """A file that says nothing of pictures gets no parameters."""
    added = add(tmp_path, {})
    assert (parameters(added), labels(added), added.notes) == ({}, [], ())
    assert onnx.load(added.path / "1" / "model.onnx").graph.input[0].name == "pixels"
