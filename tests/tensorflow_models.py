"""Small models of TensorFlow, and their SavedModels, for the tests."""

from pathlib import Path

import tensorflow as tf


class AddSub(tf.Module):
    """Two inputs, two outputs, with weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(tf.reshape(tf.range(12, dtype=tf.float32), [4, 3]) / 10)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32), tf.TensorSpec([None, 3], tf.float32)])
    def both(self, x: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
        hidden = x @ self.weight
        return {"sum": hidden + y, "difference": hidden - y}

    @tf.function(input_signature=[tf.TensorSpec([2, 4], tf.float32)])
    def doubled(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"twice": 2 * x}


class Identity(tf.Module):
    def __init__(self, dtype: tf.DType, shape: list[int | None] | None = None) -> None:
        super().__init__()
        spec = tf.TensorSpec([None, None] if shape is None else shape, dtype, "x")
        self.call = tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[spec])


class Counter(tf.Module):
    """Counts its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.count = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec([1], tf.float32)])
    def call(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"count": self.count.assign_add(1.0) + 0 * x}


class Shout(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.string)])
    def call(self, words: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"loud": tf.strings.join([words, "!"]), "length": tf.strings.length(words)}


class Fails(tf.Module):
    """Cannot run on batches that hold a negative number."""

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def call(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies([tf.debugging.assert_non_negative(x, message="a negative number")]):
            return {"y": x * 2}


class Looks(tf.Module):
    """A table of words, which is filled when the model is loaded."""

    def __init__(self) -> None:
        super().__init__()
        words = tf.lookup.KeyValueTensorInitializer(tf.constant(["cat", "dog"]), tf.constant([1, 2], tf.int64))
        self.table = tf.lookup.StaticHashTable(words, -1)

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.string)])
    def call(self, words: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"number": self.table.lookup(words)}


def write(repository: Path, name: str, module: tf.Module, signatures: object = None, config: str = "") -> Path:
    """Write a model with its SavedModel; gives the folder of that."""
    folder = repository / name / "1" / "model.savedmodel"
    folder.parent.mkdir(parents=True)
    if config:
        (repository / name / "config.pbtxt").write_text(config)
    tf.saved_model.save(module, str(folder), signatures if signatures is not None else module.call)
    return folder
