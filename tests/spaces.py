"""Models, machines and engines for the tests of the space."""

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_analyzer.configuration import Configuration
from tcli_analyzer.space import Choice, Engines, Facts, Space, Variants, make_variants

TWO_CORES = Facts(2, precisions=frozenset(("f32", "bf16")))
ONNX = Choice("onnxruntime", "cpu", ("f32",), ("f32",))
CUDA = Choice("onnxruntime", "cuda", ("f32",), ("f32",))
TENSORRT = Choice("onnxruntime", "tensorrt", ("f32", "bf16", "f16"), ("f32", "bf16", "f16"), is_told=True)
OPENVINO = Choice("openvino", "cpu", ("f32", "bf16", "f16"), ("f32", "bf16"), is_told=True)
ONNX_ALONE = Engines(ONNX, (), (("openvino", "cpu", 'not installed: pip install "tcli[openvino]"'),))
ONNX_AND_OPENVINO = Engines(ONNX, (OPENVINO,))

MODEL = """
name: "m" backend: "onnxruntime" max_batch_size: 8 dynamic_batching {}
input { name: "x" data_type: TYPE_FP32 dims: 16 } output { name: "y" data_type: TYPE_FP32 dims: 16 }
instance_group { count: 1 kind: KIND_CPU }
"""


def config(text: str = MODEL, more: str = "") -> ModelConfig:
    """A configuration from its text."""
    return text_format.Parse(text + more, ModelConfig())


def current(base: ModelConfig) -> Configuration:
    """The model's own configuration."""
    return Configuration("current", base.max_batch_size, 1, base, current=True)


def variants(
    space: Space,
    base: ModelConfig | None = None,
    engines: Engines = ONNX_AND_OPENVINO,
    facts: Facts = TWO_CORES,
    rewritten_model: bool = False,
) -> Variants:
    """What a space gives for a model."""
    base = config() if base is None else base
    return make_variants(space, current(base), base, engines, facts, "model.onnx", rewritten_model)


def labels(found: Variants) -> list[str]:
    """Of all configurations but the current one."""
    return [one.label for one in found.configurations[1:]]
