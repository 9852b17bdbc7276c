"""The network as a SavedModel; it turns the picture round, as TensorFlow's convolutions on a CPU want channels last."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from framework_models import CLASSES, WIDTHS

INPUT = "picture"
THREADS = "TF_NUM_INTRA_THREADS"
CONFIG = 'backend: "tensorflow"'


class Network(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        tf.random.set_seed(0)
        pairs = zip((3, *WIDTHS), WIDTHS, strict=False)
        self.kernels = [tf.Variable(tf.random.normal([3, 3, before, width]) / 20) for before, width in pairs]
        self.last = tf.Variable(tf.random.normal([WIDTHS[-1], CLASSES]))

    @tf.function(input_signature=[tf.TensorSpec([None, 3, 224, 224], tf.float32)])
    def classify(self, picture: tf.Tensor) -> dict[str, tf.Tensor]:
        x = tf.transpose(picture, [0, 2, 3, 1])
        for index, kernel in enumerate(self.kernels):
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 2 if index % 2 == 0 else 1, "SAME"))
        return {"scores": tf.reduce_mean(x, [1, 2]) @ self.last}


def write(version: Path) -> None:
    model = Network()
    tf.saved_model.save(model, str(version / "model.savedmodel"), model.classify)


def alone(version: Path, threads: int) -> Callable[[np.ndarray], object]:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(max(1, threads))
    model = tf.saved_model.load(str(version / "model.savedmodel"))
    signature = model.signatures["serving_default"]
    keep = model  # the signature alone does not keep the weights

    def run(batch: np.ndarray) -> object:
        assert keep is not None
        return signature(picture=tf.constant(batch))["scores"].numpy()

    return run
