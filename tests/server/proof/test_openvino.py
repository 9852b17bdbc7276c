"""OpenVINO's models are proved as any others, in the precision in which they are served."""

from pathlib import Path

import numpy as np
import pytest

from tcli_server.proof import prove_batching

ov = pytest.importorskip("openvino")
import openvino.opset15 as ops  # noqa: E402

import openvino_models as models  # noqa: E402

BATCHES = 'backend: "openvino"\nmax_batch_size: 8\n'


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_right_batches_in_any_precision(tmp_path: Path, precision: str):
    more = f'parameters {{ key: "INFERENCE_PRECISION_HINT" value {{ string_value: "{precision}" }} }}'
    folder = models.save(models.product(), tmp_path, "m", BATCHES + more)
    assert prove_batching(folder).outcome == "ok"


def test_a_mean_over_the_batch(tmp_path: Path):
    x = models.parameter("X")
    mean = ops.reduce_mean(x, ops.constant(np.array([0])), True)
    graph = ov.Model([models.named(ops.subtract(x, ops.multiply(mean, ops.constant(np.float32(0.5)))), "Y")], [x], "m")
    verdict = prove_batching(models.save(graph, tmp_path, "m", BATCHES))
    assert (verdict.outcome, verdict.output) == ("wrong", "Y")


def test_strings(tmp_path: Path):
    folder = models.save(models.text(), tmp_path, "m", BATCHES)
    assert prove_batching(folder).outcome == "ok"
