"""What a model of pictures may say, and what it is told where it says something else."""

from pathlib import Path

import pytest

from image_models import image_config, write_image_model
from tcli_server import Engine
from tcli_server.backends.listing import list_backends
from tcli_server.models.check import check_repository
from tcli_server.repository import Problem


def problems(folder: Path, config: str) -> list[Problem]:
    write_image_model(folder, "pictures", config)
    return check_repository(folder)


def test_a_name_is_enough(tmp_path: Path):
    write_image_model(tmp_path, "pictures", 'backend: "image"')
    assert check_repository(tmp_path) == []
    with Engine(tmp_path) as engine:
        config = engine.model("pictures").config
    assert (config.input[0].name, list(config.input[0].dims)) == ("IMAGE", [1])
    assert (config.output[0].name, list(config.output[0].dims)) == ("PIXELS", [3, 224, 224])
    assert config.max_batch_size == 4


def test_the_output_tells_the_size(tmp_path: Path):
    config = 'backend: "image" output [ { name: "P" data_type: TYPE_UINT8 dims: [ 64, 96, 3 ] } ]'
    write_image_model(tmp_path, "pictures", config)
    with Engine(tmp_path) as engine:
        assert list(engine.model("pictures").config.output[0].dims) == [64, 96, 3]


def test_parameters_tell_the_size(tmp_path: Path):
    parameters = {"height": "10", "width": "20", "layout": "NHWC", "color_format": "GRAY"}
    given = " ".join(f'parameters {{ key: "{k}" value {{ string_value: "{v}" }} }}' for k, v in parameters.items())
    write_image_model(tmp_path, "pictures", f'backend: "image" {given}')
    with Engine(tmp_path) as engine:
        assert list(engine.model("pictures").config.output[0].dims) == [10, 20, 1]


@pytest.mark.parametrize(
    ("parameters", "field", "expected", "fix"),
    [
        ({"resise": "exact"}, "resise", "a parameter of the backend 'image'", 'write "resize"'),
        ({"resize": "fit"}, "resize", "exact or shorter_side or none", "exact"),
        ({"resize_to": "0"}, "resize_to", "pixels, 1 to 16384", "256"),
        ({"resize_to": "99999"}, "resize_to", "pixels, 1 to 16384", "256"),
        ({"resize_to": "16"}, "resize_to", "at least the output's 32x48", "larger"),
        ({"resize_to": "64x64", "resize": "shorter_side"}, "resize_to", "the shorter side alone", "exact"),
        ({"resize_to": "64", "resize": "none"}, "resize_to", "nothing, or another resize", "remove it"),
        ({"interpolation": "cubic"}, "interpolation", "bilinear or nearest", "bilinear"),
        ({"scale": "0"}, "scale", "a factor other than 0", "1/255"),
        ({"scale": "1/0"}, "scale", "a factor other than 0", "1/255"),
        ({"scale": "nan"}, "scale", "a factor other than 0", "1/255"),
        ({"mean": "1,2"}, "mean", "one number, or one for each channel", "one number"),
        ({"mean": "a"}, "mean", "one number, or one for each channel", "0.485"),
        ({"std": "1,0,1"}, "std", "none of them 0", "0.229"),
        ({"max_pixels": "-1"}, "max_pixels", "a number of pixels", "67108864"),
        ({"max_bytes": "many"}, "max_bytes", "a number of bytes", "67108864"),
        ({"exif_transpose": "maybe"}, "exif_transpose", "true or false", "true"),
        ({"color_format": "rgb"}, "color_format", "RGB or BGR or GRAY", "RGB"),
    ],
)
def test_parameters_that_are_wrong(tmp_path: Path, parameters: dict[str, str], field: str, expected: str, fix: str):
    (problem,) = problems(tmp_path, image_config(parameters=parameters))
    assert problem.field == f'parameters["{field}"]'
    assert expected in problem.expected
    assert fix in problem.fix
    assert problem.line is not None


@pytest.mark.parametrize(
    ("config", "field", "expected"),
    [
        (image_config(kind="INT32"), "output[0].data_type", "TYPE_FP32, TYPE_FP16 or TYPE_UINT8"),
        (image_config(kind="STRING"), "output[0].data_type", "TYPE_FP32, TYPE_FP16 or TYPE_UINT8"),
        (image_config(dims="3, -1, -1"), "output[0].dims", "[3, height, width]"),
        (image_config(dims="3, 224"), "output[0].dims", "[3, height, width]"),
        (image_config(dims="4, 32, 32"), "output[0].dims", "[3, height, width]"),
        (image_config(parameters={"height": "64"}), "output[0].dims", "[3, 64, 48]"),
        (image_config(parameters={"layout": "NHWC"}), "output[0].dims", "by the parameters layout"),
        (image_config(kind="UINT8", parameters={"mean": "1"}), 'parameters["mean"]', "a floating-point output"),
        (image_config(kind="UINT8", parameters={"scale": "1/255"}), 'parameters["scale"]', "a floating-point output"),
    ],
)
def test_outputs_that_no_picture_fits(tmp_path: Path, config: str, field: str, expected: str):
    found = problems(tmp_path, config)
    assert found[0].field == field
    assert expected in found[0].expected


def test_inputs_that_are_no_pictures(tmp_path: Path):
    config = image_config().replace("TYPE_STRING", "TYPE_UINT8")
    (problem,) = problems(tmp_path, config)
    assert problem.field == "input[0].data_type"
    config = image_config().replace("dims: [ 1 ]", "dims: [ 2 ]")
    (problem,) = problems(tmp_path / "two", config)
    assert problem.field.startswith("input[0].dims")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ("instance_group { kind: KIND_GPU }", "instance_group[0].kind"),
        ('default_model_filename: "model.onnx"', "default_model_filename"),
    ],
)
def test_what_only_other_models_have(tmp_path: Path, more: str, field: str):
    (problem,) = problems(tmp_path, image_config(more=more))
    assert problem.field == field
    assert problem.fix


def test_no_version_is_told(tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "config.pbtxt").write_text(image_config())
    (problem,) = check_repository(tmp_path)
    assert "no version folder" in problem.found


def test_it_is_listed():
    (image,) = [one for one in list_backends() if one.name == "image"]
    assert image.version
    assert (image.files, image.devices, image.install, image.problem) == ((), ("CPU",), "", "")
