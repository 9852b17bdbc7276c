"""TensorFlow's models are proved as any others."""

from pathlib import Path

import pytest

from tcli_server.proof import prove_batching

tf = pytest.importorskip("tensorflow")
import tensorflow_models as models  # noqa: E402


class OverTheBatch(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def call(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x - 0.1 * tf.reduce_mean(x, 0)}


@pytest.mark.parametrize("outcome", ["ok", "wrong"])
def test_the_verdict(tmp_path: Path, outcome: str):
    module = OverTheBatch() if outcome == "wrong" else models.Identity(tf.float32)
    models.write(tmp_path, "m", module)
    verdict = prove_batching(tmp_path / "m")
    assert verdict.outcome == outcome


def test_strings(tmp_path: Path):
    models.write(tmp_path, "m", models.Shout())
    verdict = prove_batching(tmp_path / "m")
    assert (verdict.outcome, verdict.sizes) == ("ok", (2, 3))
