"""Configurations of models for the tests that need no model file."""

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig


def described(text: str) -> ModelConfig:
    """A configuration named m from its text."""
    return text_format.Parse(text, ModelConfig(name="m"))


def taking(*inputs: str, max_batch_size: int = 8, more: str = "") -> ModelConfig:
    """A model with inputs such as "X FP32 [ 4 ]", and one output."""
    written = []
    for one in inputs:
        name, kind, dims = one.split(" ", 2)
        written.append(f'input {{ name: "{name}" data_type: TYPE_{kind} dims: {dims} }}')
    return described(
        f'backend: "onnxruntime" max_batch_size: {max_batch_size} {" ".join(written)} {more} '
        'output { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }'
    )
