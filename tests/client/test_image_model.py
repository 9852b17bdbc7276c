"""What is understood of a model from its metadata and configuration."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2

from tcli_client import NotAClassifierError, OptionError, Scaling
from tcli_client.image_model import image_model


def described(shape, output=(-1, 1000), config: str | None = "max_batch_size: 8", datatypes=("FP32", "FP32")):
    metadata = service_pb2.ModelMetadataResponse(name="m", versions=["1"])
    metadata.inputs.add(name="x", datatype=datatypes[0], shape=shape)
    metadata.outputs.add(name="y", datatype=datatypes[1], shape=output)
    parsed = None if config is None else text_format.Parse(config, model_config_pb2.ModelConfig())
    return image_model(metadata, parsed)


@pytest.mark.parametrize(
    ("shape", "output", "config", "layout", "kind", "largest"),
    [
        ([-1, 3, 20, 30], [-1, 10], "max_batch_size: 8", "NCHW", "server", 8),
        ([-1, 20, 30, 3], [-1, 10], "max_batch_size: 8", "NHWC", "server", 8),
        ([3, 20, 30], [10], "max_batch_size: 0", "NCHW", "none", 1),
        ([1, 3, 20, 30], [1, 10], "max_batch_size: 0", "NCHW", "explicit", 1),
        ([1, 20, 30, 3], [10], "", "NHWC", "explicit", 1),
        ([-1, 3, 20, 30], [-1, 10, 1, 1], "", "NCHW", "explicit", None),
        ([4, 3, 20, 30], [4, 10], "", "NCHW", "explicit", 4),
        ([-1, 3, 20, 30], [-1, 10], None, "NCHW", "server", None),
    ],
)
def test_layout_and_batching(shape, output, config, layout, kind, largest):
    model = described(shape, output, config)
    assert (model.form.layout, model.form.height, model.form.width, model.form.channels) == (layout, 20, 30, 3)
    assert (model.batching.kind, model.batching.largest) == (kind, largest)
    assert model.class_count == 10
    assert any(layout in note for note in model.notes), "a layout that nobody stated is said"


def test_a_stated_format_wins_and_needs_no_note():
    config = 'max_batch_size: 8 input { name: "x" format: FORMAT_NHWC dims: [3, 9, 3] }'
    model = described([-1, 3, 9, 3], config=config)
    assert (model.form.layout, model.form.height, model.form.width) == ("NHWC", 3, 9)
    assert not model.notes


@pytest.mark.parametrize(
    ("shape", "config"),
    [
        ([1, 16, 96], "max_batch_size: 0"),
        ([-1, 16, 96], 'max_batch_size: 0 input { name: "x" dims: [1, 16, 96] }'),
        ([-1, 1, 16, 96], "max_batch_size: 8"),
        ([-1, 80, 300, 1], "max_batch_size: 8"),
        ([1, 1, 16000], "max_batch_size: 0"),
        ([-1, 43844, 1], "max_batch_size: 0"),
        ([1, 3, 1024], "max_batch_size: 0"),
        ([-1, 3, 16, 4000], "max_batch_size: 8"),
        ([-1, 3, 16, 160], "max_batch_size: 8"),
        ([-1, 3, 9, 3], "max_batch_size: 8"),
        ([-1, 3, 20_000, 20_000], "max_batch_size: 8"),
        ([-1, 1, 80, -1], "max_batch_size: 8"),
        ([-1, 1, 16, 96], None),
    ],
)
def test_what_has_not_the_sides_of_a_picture_is_none(shape, config):
    """Sounds, their features and points in space have a dimension of 1 or 3, too."""
    with pytest.raises(NotAClassifierError, match=r"not .*like an image classifier|no dimension of 3") as refused:
        described(shape, [-1, 2], config)
    assert refused.value.fix


def test_the_way_out_of_a_refused_picture_works():
    with pytest.raises(NotAClassifierError, match="names no format") as refused:
        described([-1, 1, 32, 100])
    assert "write format: FORMAT_NCHW" in refused.value.fix
    config = 'max_batch_size: 8 input { name: "x" format: FORMAT_NCHW dims: [1, 32, 100] }'
    model = described([-1, 1, 32, 100], config=config)
    assert (model.form.layout, model.form.height, model.form.width, model.form.channels) == ("NCHW", 32, 100, 1)


@pytest.mark.parametrize(
    ("dims", "layout", "size"),
    [
        ([1, 28, 28], "NCHW", (28, 28)),
        ([28, 28, 1], "NHWC", (28, 28)),
        ([3, 32, 256], "NCHW", (32, 256)),
        ([3, 48, -1], "NCHW", (48, 224)),
        ([-1, -1, 3], "NHWC", (224, 224)),
        ([1, -1, -1], "NCHW", (224, 224)),
        ([3, 4, 4], "NCHW", (4, 4)),
    ],
)
def test_pictures_without_a_format_are_known_by_their_sides(dims, layout, size):
    model = described([-1, *dims])
    assert (model.form.layout, model.form.height, model.form.width) == (layout, *size)


def test_any_size_is_224_and_said():
    model = described([-1, 3, -1, -1])
    assert (model.form.height, model.form.width) == (224, 224)
    assert any("224" in note for note in model.notes)


@pytest.mark.parametrize(
    ("shape", "output", "datatypes", "says"),
    [
        ([-1, 16], [-1, 10], ("FP32", "FP32"), "not that of a picture"),
        ([-1, 4, 20, 30], [-1, 10], ("FP32", "FP32"), "no dimension of 3"),
        ([-1, 3, 20, 30], [-1, 10, 7], ("FP32", "FP32"), "not one score per class"),
        ([-1, 3, 20, 30], [-1, 10], ("BYTES", "FP32"), "not of pixel values"),
        ([-1, 3, 20, 30], [-1, 10], ("FP32", "BYTES"), "not of scores"),
    ],
)
def test_other_models_are_told_what_does_not_fit(shape, output, datatypes, says):
    with pytest.raises(NotAClassifierError, match=says):
        described(shape, output, datatypes=datatypes)


def test_several_inputs():
    metadata = service_pb2.ModelMetadataResponse(name="m")
    metadata.inputs.add(name="a", datatype="FP32", shape=[3, 8, 8])
    metadata.inputs.add(name="b", datatype="FP32", shape=[1])
    with pytest.raises(NotAClassifierError, match=r"2 inputs \('a', 'b'\), not one"):
        image_model(metadata, None)


@pytest.mark.parametrize(
    ("parameter", "datatype", "expected"),
    [
        ("IMAGENET", "FP32", Scaling.IMAGENET),
        ("imagenet", "FP32", Scaling.IMAGENET),
        ("", "FP32", Scaling.INCEPTION),
        ("", "UINT8", Scaling.NONE),
    ],
)
def test_the_default_scaling(parameter, datatype, expected):
    config = "max_batch_size: 8"
    if parameter:
        config += f' parameters {{ key: "tcli_image_scaling" value {{ string_value: "{parameter}" }} }}'
    assert described([-1, 3, 8, 8], config=config, datatypes=(datatype, "FP32")).scaling == expected


def test_an_unknown_scaling_is_said():
    config = 'parameters { key: "tcli_image_scaling" value { string_value: "RESNET" } }'
    assert any("RESNET" in note for note in described([3, 8, 8], [10], config).notes)


def test_too_large_a_batch_is_refused_with_the_fix():
    with pytest.raises(OptionError, match="at most 8") as refused:
        described([-1, 3, 8, 8]).check_batch_size(9)
    assert "max_batch_size" in refused.value.fix
    with pytest.raises(OptionError, match="at most 1") as refused:
        described([3, 8, 8], [10], "").check_batch_size(2)
    assert "max_batch_size" in refused.value.fix
    described([-1, 3, 8, 8], config="").check_batch_size(999)
