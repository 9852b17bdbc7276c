"""Another engine and a lower precision, compared with ONNX Runtime's FP32."""

import threading
from pathlib import Path

import pytest

pytest.importorskip("openvino")

from tritonclient.grpc.model_config_pb2 import ModelConfig

import batching_models as graphs
import guarded_models as models
from tcli_analyzer.configuration import Configuration
from tcli_analyzer.guard import LOWER_PRECISION, Accuracy, Guard, GuardOptions, Tolerance
from tcli_analyzer.inputs import RandomSource


def in_openvino(config: ModelConfig, precision: str = "", size: int = 8) -> Configuration:
    """The same file, run by OpenVINO."""
    variant = models.varied(config, size)
    variant.config.platform, variant.config.backend = "", "openvino"
    variant.config.default_model_filename = "model.onnx"
    if precision:
        variant.config.parameters["INFERENCE_PRECISION_HINT"].string_value = precision
    return variant


def checked(repository: Path, variants: list[Configuration], *shape: int, **options: object) -> list[Accuracy]:
    own = models.current(models.complete_config(repository))
    stop, settings = threading.Event(), GuardOptions(**options)
    guard = Guard({False: repository}, "m", own, models.rows_of(64, *shape), stop, settings)
    return list(guard.check(variants).values())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return graphs.write(tmp_path, "m", models.classes, models.config_for())


def test_another_engine_rounds_otherwise(repository: Path):
    (found,) = checked(repository, [in_openvino(models.complete_config(repository), "f32")], 4)
    assert (found.verdict, found.lower_precision, found.items, found.batches) == ("ok", False, 64, (2, 3, 8))
    assert found.relative < 1e-5
    assert found.top1 is not None
    assert found.top1.same == 64


def test_a_lower_precision_takes_more_inputs(repository: Path):
    """And the original is asked for them once more, when they are needed."""
    config = models.complete_config(repository)
    told: list[str] = []
    source, stop = RandomSource({"x": (4,)}), threading.Event()
    guard = Guard({False: repository}, "m", models.current(config), source, stop, told=told.append)
    for variant, items in (
        (in_openvino(config, "f32"), 16),
        (in_openvino(config, "bf16"), 64),
        (models.varied(config, 8), 16),
    ):
        assert guard.check([variant])[variant].items == items
    assert sum(text.startswith("asking") for text in told) == 2


def test_a_lower_precision_has_a_tolerance_of_its_own(repository: Path):
    """Its own choice, too, is BF16 where the processor has it."""
    config = models.complete_config(repository)
    for found in checked(repository, [in_openvino(config, "bf16"), in_openvino(config)], 4):
        assert (found.verdict, found.lower_precision, found.items) == ("ok", True, 64)
        assert found.outputs[0].allowed == LOWER_PRECISION.relative
        assert found.relative <= 0.05
    strict = {"lower_precision": Tolerance(relative=0.0)}
    (found,) = checked(repository, [in_openvino(config, "bf16")], 4, **strict)
    assert not found.may_win
    assert "the tolerance is 0 %" in found.reason


@pytest.mark.parametrize(
    ("build", "dims", "output_dims", "shape"),
    [
        (lambda path: graphs.recurrent(path, None, None), "[ 1, 3 ]", "[ -1, 4 ]", (1, 3)),
        (graphs.normalizes_over_the_batch, "[ 4 ]", "[ 4 ]", (4,)),
    ],
)
def test_wrong_batches_are_wrong_in_any_engine(tmp_path, build, dims, output_dims, shape):
    graphs.write(tmp_path, "m", build, graphs.config_of("m", 8, dims, output_dims))
    config = models.complete_config(tmp_path)
    large, single = checked(tmp_path, [in_openvino(config, "f32"), in_openvino(config, "f32", 1)], *shape)
    assert (large.verdict, single.verdict) == ("wrong", "ok")
