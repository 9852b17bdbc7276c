"""What is taken for the same answer, by data type and tolerance."""

import ml_dtypes
import numpy as np
import pytest
import scipy.stats
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.guard import LOWER_PRECISION, ROUNDING, Agreement, OutputAccuracy, Tolerance
from tcli_analyzer.guard.agreement import least_count
from tcli_analyzer.guard.check import changes
from tcli_analyzer.guard.comparing import ALONE, Comparison, aligned, fitted
from tcli_analyzer.guard.jobs import is_over
from tcli_analyzer.guard.judging import Limits
from tcli_analyzer.guard.tolerance import may_lower_precision

RANDOM = np.random.default_rng(5)


def judged(
    wanted: list[np.ndarray], got: list[np.ndarray], tolerance: Tolerance = ROUNDING, way: str = ALONE, name: str = "y"
) -> tuple[str, str, OutputAccuracy]:
    """The verdict on some answers, its reason and the figures."""
    expected = [{name: array} for array in wanted]
    comparison = Comparison(expected, set(), set())
    comparison.add(way, range(len(got)), [{name: array} for array in got])
    limits = Limits(tolerance, expected)
    outcome, reason = limits.judge(comparison.found)
    return outcome, reason, comparison.found[name].accuracy(name, limits.allowed[name])


def reals(count: int = 40, dtype: type = np.float32) -> list[np.ndarray]:
    return [RANDOM.standard_normal(10).astype(dtype) for _ in range(count)]


def off_by(arrays: list[np.ndarray], part: float) -> list[np.ndarray]:
    return [(one.astype(np.float64) + part * np.abs(one).max().astype(np.float64)).astype(one.dtype) for one in arrays]


@pytest.mark.parametrize(("same", "count"), [(0, 5), (5, 5), (35, 35), (62, 64), (64, 64), (1, 1), (900, 1000)])
def test_intervals_are_wilsons(same: int, count: int):
    wanted = scipy.stats.binomtest(same, count).proportion_ci(method="wilson")
    found = Agreement(same, count)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert found.share == same / count


def test_without_items_nothing_is_known():
    assert (Agreement(0, 0).low, Agreement(0, 0).high) == (0, 1)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_as_many_as_are_said_to_suffice_do(share: float):
    count = least_count(share)
    assert Agreement(count, count).low >= share > Agreement(count - 1, count - 1).low


@pytest.mark.parametrize(
    ("dtype", "part", "outcome"),
    [
        (np.float32, 0.0005, "ok"),
        (np.float32, 0.002, "wrong"),
        (np.float64, 0.002, "wrong"),
        (np.float16, 0.01, "ok"),
        (np.float16, 0.03, "wrong"),
        (ml_dtypes.bfloat16, 0.01, "ok"),
        (ml_dtypes.bfloat16, 0.04, "wrong"),
    ],
)
def test_rounding_is_what_the_proof_of_batches_takes_for_it(dtype: type, part: float, outcome: str):
    wanted = reals(dtype=dtype)
    assert judged(wanted, off_by(wanted, part))[0] == outcome


def test_what_batches_round_is_left_to_their_proof():
    """It knows whether the others in a batch have a part in it; with a tolerance of the user's own it counts here, too."""
    wanted = reals()
    got = off_by(wanted, 0.01)
    assert judged(wanted, got, way="in a batch of 8")[0] == "ok"
    assert judged(wanted, got, Tolerance(relative=0.005), way="in a batch of 8")[0] == "wrong"


def test_lower_precision_may_differ_more_but_not_in_its_classes():
    wanted = [np.eye(10, dtype=np.float32)[place % 10] for place in range(64)]
    outcome, _, found = judged(wanted, off_by(wanted, 0.03), LOWER_PRECISION)
    assert outcome == "ok"
    assert found.top1 is not None
    assert found.top1.same == 64
    assert judged(wanted, off_by(wanted, 0.07), LOWER_PRECISION)[0] == "wrong"
    close = [np.array([0.501, 0.499], np.float32)] * 64
    for turned, expected in ((1, "ok"), (3, "unchecked"), (15, "wrong")):
        got = [one[::-1] if place < turned else one for place, one in enumerate(close)]
        outcome, reason, _ = judged(close, got, LOWER_PRECISION)
        assert outcome == expected, reason


def test_vectors_that_are_no_scores_have_no_classes():
    wanted = reals()
    assert judged(wanted, wanted)[2].top1 is None
    assert judged(wanted, wanted, name="logits")[2].top1 is not None


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_small_whole_numbers_may_be_rounded_real_ones(dtype: type):
    wanted = [RANDOM.integers(0, 100, 10).astype(dtype) for _ in range(8)]
    assert judged(wanted, [one + dtype(1) for one in wanted])[0] == "ok"
    three = [one + dtype(3) for one in wanted]
    assert judged(wanted, three)[0] == "wrong"
    assert judged(wanted, three, Tolerance(relative=0.1))[0] == "ok"


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.bool_])
def test_other_whole_numbers_are_counted(dtype: type):
    wanted = [np.arange(10).astype(dtype) for _ in range(10)]
    got = [one.copy() for one in wanted]
    got[3][0] = 1
    outcome, reason, found = judged(wanted, got)
    assert outcome == "wrong"
    assert "99 % of 100 elements are the original's, expected 100 %: item 3, element [0] alone is" in reason
    assert found.equal == 0.99
    assert judged(wanted, got, Tolerance(whole=0.99))[0] == "ok"


def test_strings_are_counted():
    wanted = [np.array([b"one", b"two"], np.object_)] * 2
    got = [np.array([b"one", b"three"], np.object_), wanted[1]]
    outcome, reason, found = judged(wanted, got)
    assert outcome == "wrong"
    assert "75 % of 4 elements are the original's, expected 100 %: item 0, element [1] alone is 'three'" in reason
    assert np.isnan(found.absolute)
    assert judged(wanted, wanted)[0] == "ok"


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_to_be_at_the_same_places(odd: float):
    wanted, got = reals(2), []
    wanted[1][4] = odd
    assert judged(wanted, [one.copy() for one in wanted])[0] == "ok"
    for place in (0, 1):
        got = [one.copy() for one in wanted]
        got[place][2] = odd
        assert judged(wanted, got, Tolerance(relative=9.0))[0] == "wrong"
    got = [one.copy() for one in wanted]
    got[1][4] = 1
    outcome, reason, _ = judged(wanted, got, Tolerance(relative=9.0), "in a batch of 2")
    assert outcome == "wrong"
    assert "item 1, element [4] in a batch of 2 is 1, the original's" in reason


def test_other_shapes_are_counted_by_items():
    wanted, got = [np.ones(5, np.float32)] * 20, [np.ones(5, np.float32)] * 20
    got[7] = np.ones(6, np.float32)
    outcome, reason, found = judged(wanted, got)
    assert outcome == "wrong"
    assert "for 1 of 20 items: item 7 alone gives 6 rows, the original 5" in reason
    assert found.other_shapes == 1
    assert found.shapes == "item 7 alone gives 6 rows, the original 5"
    assert judged(wanted, [np.ones((1, 5), np.float32)] * 20)[2].shapes == (
        "item 0 alone gives float32 [1, 5], the original float32 [5]"
    )
    assert judged(wanted, got, Tolerance(other_shapes=0.05))[0] == "ok"


def test_another_datatype_is_another_answer():
    wanted = reals(3)
    outcome, reason, _ = judged(wanted, [one.astype(np.float64) for one in wanted])
    assert outcome == "wrong"
    assert "float64" in reason


@pytest.mark.parametrize("empty", [np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.object_)])
def test_empty_answers_are_the_same(empty: np.ndarray):
    assert judged([empty] * 2, [empty] * 2)[0] == "ok"


def test_a_first_dimension_of_one_goes_and_comes():
    item = {"x": np.zeros((1, 3)), "unknown": np.zeros(2)}
    assert fitted(item, {"x": 1})["x"].shape == (3,)
    assert fitted(item, {"x": 3})["x"].shape == (1, 1, 3)
    assert fitted(item, {"x": 2})["x"].shape == (1, 3)
    assert aligned({"y": np.zeros(3)}, {"y": np.zeros((1, 3))})["y"].shape == (1, 3)
    assert aligned({"y": np.zeros((2, 3))}, {"y": np.zeros(3)})["y"].shape == (2, 3)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"relative": -0.1}, "relative of a tolerance is -0.1"),
        ({"relative": float("nan")}, "relative of a tolerance is nan"),
        ({"agreement": 1.5}, "agreement of a tolerance is 1.5, expected a share"),
        ({"agreement": 1.0}, "no number of inputs proves"),
        ({"whole": -1.0}, "whole of a tolerance is -1"),
        ({"other_shapes": 2.0}, "other_shapes of a tolerance is 2"),
    ],
)
def test_a_tolerance_that_is_none(values: dict[str, float], says: str):
    with pytest.raises(ValueError, match=says):
        Tolerance(**values)


def test_who_may_compute_in_less():
    config = ModelConfig(backend="onnxruntime")
    assert not may_lower_precision(config)
    config.instance_group.add(kind=ModelInstanceGroup.KIND_GPU)  # TF32
    assert may_lower_precision(config)
    config = ModelConfig(backend="openvino")
    assert may_lower_precision(config)  # OpenVINO chooses
    config.parameters["INFERENCE_PRECISION_HINT"].string_value = "f32"
    assert not may_lower_precision(config)
    config.parameters["INFERENCE_PRECISION_HINT"].string_value = "bf16"
    assert may_lower_precision(config)
    config = ModelConfig(backend="openvino")
    config.parameters["EXECUTION_MODE_HINT"].string_value = "ACCURACY"
    assert not may_lower_precision(config)
    config.parameters["HINT_BF16"].string_value = "YES"
    assert may_lower_precision(config)


@pytest.mark.parametrize(
    ("name", "parameters", "lower"),
    [
        ("openvino", {}, True),
        ("openvino", {"precision": "FP32"}, False),
        ("openvino", {"precision": "BF16"}, True),
        ("tensorrt", {"precision_mode": "FP16"}, True),
        ("tensorrt", {}, True),
        ("xnnpack", {}, False),
    ],
)
def test_accelerators_may(name: str, parameters: dict[str, str], lower: bool):
    config = ModelConfig(backend="onnxruntime")
    config.optimization.execution_accelerators.cpu_execution_accelerator.add(name=name, parameters=parameters)
    assert may_lower_precision(config) is lower


def test_what_can_change_numbers():
    """Instances, threads and delays cannot, nor can smaller batches."""
    own = ModelConfig(backend="onnxruntime", max_batch_size=4)
    own.dynamic_batching.SetInParent()
    own.instance_group.add(count=1)

    def variant(rewritten: bool = False, **fields: object) -> Configuration:
        config = ModelConfig()
        config.CopyFrom(own)
        config.MergeFrom(ModelConfig(**fields))
        return Configuration("x", config.max_batch_size, 1, config, rewritten_model=rewritten)

    several = variant()
    several.config.instance_group[0].count = 3
    several.config.dynamic_batching.max_queue_delay_microseconds = 500
    several.config.parameters["intra_op_thread_count"].string_value = "2"
    assert not changes(own, several)
    assert not changes(own, variant(max_batch_size=2))
    assert changes(own, variant(max_batch_size=8))
    assert changes(own, variant(backend="openvino"))
    assert changes(own, variant(rewritten=True))
    precise = variant()
    precise.config.parameters["INFERENCE_PRECISION_HINT"].string_value = "bf16"
    assert changes(own, precise)
    own.ClearField("dynamic_batching")  # then only what a client has joined itself is a batch
    joins = variant()
    assert not changes(own, joins)
    joins.config.dynamic_batching.SetInParent()
    assert changes(own, joins)


def test_what_the_figures_do_not_say_is_noted():
    """One class for all inputs, and rounding that only models of a lower precision have."""
    wanted = [np.array([1, 0.1 * place], np.float32) for place in range(8)]
    expected = [{"scores": array} for array in wanted]
    comparison = Comparison(expected, set(), set())
    comparison.add(ALONE, range(8), expected)
    comparison.add("in a batch of 2", [0], [{"scores": wanted[0] * np.float32(1.01)}])
    rounding, one_class = Limits(ROUNDING, expected).notes(comparison.found)
    assert rounding.startswith("output 'scores' differs by 1 % of the largest value in batches")
    assert one_class.startswith("the original names one class for all 8 inputs by output 'scores'")
    (only,) = Limits(Tolerance(relative=0.1), expected).notes(comparison.found)
    assert only == one_class


def test_time_goes_where_it_is_worth_it():
    """Two items whatever they take; thrice the time for as many as an interval needs."""
    assert not is_over(1, 2, spent=100, seconds=1)
    assert is_over(2, 2, spent=1.1, seconds=1)
    assert not is_over(2, 2, spent=0.9, seconds=1)
    assert not is_over(34, 35, spent=2.9, seconds=1)
    assert is_over(34, 35, spent=3.1, seconds=1)
    assert is_over(35, 35, spent=1.1, seconds=1)
