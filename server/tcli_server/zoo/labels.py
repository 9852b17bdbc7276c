"""Which output of a new model a list of class names is for."""

import math

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelOutput

LABEL_FILE = "labels.txt"


def labelled_output(config: ModelConfig, count: int, certain: bool = False) -> ModelOutput | None:
    """The first output that has so many classes, or the only one where that does not say; None without one.

    Args:
        certain: the only output must have nothing but classes.
    """
    dims = [_dims(output, config.max_batch_size) for output in config.output]
    fitting = [output for output, sizes in zip(config.output, dims, strict=True) if math.prod(sizes) == count]
    if not fitting and len(dims) == 1 and math.prod(dims[0]) < 0 and (not certain or set(dims[0]) <= {-1, 1}):
        fitting = [config.output[0]]
    return fitting[0] if fitting else None


def class_counts(config: ModelConfig) -> str:
    """How many classes each output has, in words."""
    classes = {output.name: math.prod(_dims(output, config.max_batch_size)) for output in config.output}
    return ", ".join(f"'{name}' has {size if size > 0 else 'a varying number'}" for name, size in classes.items())


def _dims(output: ModelOutput, max_batch_size: int) -> list[int]:
    """Of one answer: without a batch dimension that a model without batching has in its own dims."""
    dims = list(output.dims)
    return dims[1:] if max_batch_size == 0 and len(dims) > 1 and dims[0] == -1 else dims
