"""Which output of a new model a list of class names is for."""

import math

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelOutput

LABEL_FILE = "labels.txt"


def labelled_output(config: ModelConfig, count: int) -> ModelOutput | None:
    """The first output that has so many classes, or the only one where that does not say; None without one."""
    fitting = [output for output in config.output if math.prod(output.dims) == count]
    if not fitting and len(config.output) == 1 and math.prod(config.output[0].dims) < 0:
        fitting = [config.output[0]]
    return fitting[0] if fitting else None


def class_counts(config: ModelConfig) -> str:
    """How many classes each output has, in words."""
    classes = {output.name: math.prod(output.dims) for output in config.output}
    return ", ".join(f"'{name}' has {size if size > 0 else 'a varying number'}" for name, size in classes.items())
