"""Repetition by counts that come with the request: OpenVINO alone leaves a part of such outputs as it finds the memory."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tcli_server import Engine
from tcli_server.models.check import check_repository

pytest.importorskip("openvino")

import openvino as ov
import openvino.opset13 as ops

from openvino_models import named, parameter, save

SIZES = (2, 3, 4, 5, 2)
EXACT = 'parameters { key: "INFERENCE_PRECISION_HINT" value { string_value: "f32" } }'


def tile(rank: int, counts: int, kind: ov.Type = ov.Type.i64) -> ov.Model:
    x, times = parameter("X", shape=[-1] * rank), parameter("TIMES", kind, [counts])
    return ov.Model([named(ops.tile(x, times), "Y")], [x, times], "tile")


def tile_in_a_branch() -> ov.Model:
    x, times = parameter("X", shape=[-1] * 4), parameter("TIMES", ov.Type.i64, [4])
    turn = parameter("TURN", ov.Type.boolean, [])
    branches = []
    for sign in (1, -1):
        inner = [ops.parameter([-1] * 4, np.float32), ops.parameter([4], np.int64)]
        branches.append((ov.Model([ops.tile(ops.multiply(inner[0], np.float32(sign)), inner[1])], inner), inner))
    choice = ops.if_op(turn)
    (yes, of_yes), (no, of_no) = branches
    choice.set_then_body(yes)
    choice.set_else_body(no)
    for outer, first, second in zip((x, times), of_yes, of_no, strict=True):
        choice.set_input(outer.output(0), first, second)
    output = choice.set_output(yes.results[0], no.results[0])
    output.set_names({"Y"})
    return ov.Model([ops.result(output)], [x, times, turn], "branch")


@pytest.mark.parametrize(("rank", "counts"), [(1, 1), (3, 3), (4, 4), (5, 5), (3, 5), (5, 3)])
def test_all_of_the_output_is_written(tmp_path: Path, rank: int, counts: int):
    save(tile(rank, counts), tmp_path, "m", EXACT)
    x = np.random.default_rng(1).random(SIZES[:rank], np.float32) + 1
    with Engine(tmp_path) as engine:
        for times in product((1, 2), repeat=counts):
            answer = engine.infer("m", {"X": x, "TIMES": np.array(times, np.int64)})
            assert np.array_equal(answer.outputs["Y"], np.tile(x, times)), times


def test_also_in_a_branch(tmp_path: Path):
    save(tile_in_a_branch(), tmp_path, "m", EXACT)
    x, times = np.random.default_rng(1).random(SIZES[:4], np.float32) + 1, np.array([1, 2, 2, 2])
    with Engine(tmp_path) as engine:
        for turn, sign in ((True, 1), (False, -1)):
            answer = engine.infer("m", {"X": x, "TIMES": times, "TURN": np.array([turn])})
            assert np.array_equal(answer.outputs["Y"], np.tile(sign * x, times))


def test_counts_of_any_number_are_refused(tmp_path: Path):
    x, times = parameter("X", shape=[-1] * 4), parameter("TIMES", ov.Type.i64, [-1])
    save(ov.Model([named(ops.tile(x, times), "Y")], [x, times], "tile"), tmp_path, "m")
    (problem,) = check_repository(tmp_path)
    assert "repeats a tensor of any rank" in problem.found
    assert "onnxruntime" in problem.fix
