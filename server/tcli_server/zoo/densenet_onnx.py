"""DenseNet-121, the model of Triton's quickstart: its configuration, where its weights are, and a stand-in for them.

The stand-in is the same graph as the published `densenet-7.onnx` (opset 7, the batch fixed at 1) with random weights: it
takes as long to run and says nothing about pictures.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper

from tcli_server.zoo.graph import GraphBuilder

NAME = "densenet_onnx"
INPUT = "data_0"
OUTPUT = "fc6_1"
LABEL_FILE = "densenet_labels.txt"
PLACEHOLDER_FILE = "PLACEHOLDER"
PLACEHOLDER_PARAMETER = "tcli_placeholder"
PLACEHOLDER_VALUE = "random weights"

CONFIG = """\
# DenseNet-121 with 1000 ImageNet classes, the model of NVIDIA Triton's quickstart.

# Must be the name of the model's folder.
name: "densenet_onnx"

# What runs the model: an ONNX file with ONNX Runtime.
platform: "onnxruntime_onnx"

# 0: the model does not batch, so 'dims' lists every dimension that a client sends.
max_batch_size : 0

input [
  {
    name: "data_0"
    data_type: TYPE_FP32
    # An RGB picture, channels first.
    format: FORMAT_NCHW
    dims: [ 3, 224, 224 ]
    # Clients send 'dims', the model file wants a fixed batch of 1 in front.
    reshape { shape: [ 1, 3, 224, 224 ] }
  }
]
output [
  {
    name: "fc6_1"
    data_type: TYPE_FP32
    # A score for each class, not a probability.
    dims: [ 1000 ]
    reshape { shape: [ 1, 1000, 1, 1 ] }
    # One class name a line, for requests that ask for the top classes.
    label_filename: "densenet_labels.txt"
  }
]
"""

PLACEHOLDER_CONFIG = (
    CONFIG
    + f"""
# The published weights could not be had: this file has random ones, so its timings are real and its answers are not.
parameters {{
  key: "{PLACEHOLDER_PARAMETER}"
  value {{ string_value: "{PLACEHOLDER_VALUE}" }}
}}
"""
)

_SEED = 121
_GROWTH = 32
_BOTTLENECK = 128
_BLOCKS = (6, 12, 24, 16)
_STEM_CHANNELS = 64
_CLASSES = 1000
_EPSILON = 1e-5


def build_placeholder() -> onnx.ModelProto:
    """The graph with seeded random weights, the same on every machine.

    Input `data_0`: FP32 [1, 3, 224, 224]. Output `fc6_1`: FP32 [1, 1000, 1, 1].
    """
    network = _Network()
    network.build()
    weights = network.graph.weights
    graph = helper.make_graph(
        network.graph.nodes,
        NAME,
        [
            helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, 3, 224, 224]),
            # As in the published file: its version of ONNX wants every weight listed as an input.
            *(helper.make_tensor_value_info(weight.name, TensorProto.FLOAT, weight.dims) for weight in weights),
        ],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, _CLASSES, 1, 1])],
        weights,
        doc_string="DenseNet-121 with random weights, a placeholder for densenet-7.onnx",
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 7)], ir_version=3, producer_name="tcli")


class _Network:
    def __init__(self) -> None:
        self.graph = GraphBuilder()
        self._random = np.random.RandomState(_SEED)  # its numbers never change from one numpy to the next

    def build(self) -> None:
        x = self._convolution(INPUT, "conv1", 3, _STEM_CHANNELS, 7, stride=2)
        x = self._norm_relu(x, "conv1", _STEM_CHANNELS)
        x = self.graph.node("MaxPool", [x], "pool1_1", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        channels = _STEM_CHANNELS
        for block, layers in enumerate(_BLOCKS, start=2):
            for layer in range(1, layers + 1):
                x = self._layer(x, f"conv{block}_{layer}", channels)
                channels += _GROWTH
            if block < len(_BLOCKS) + 1:
                name = f"conv{block}_blk"
                x = self._norm_relu(x, name, channels)
                x = self._convolution(x, name, channels, channels // 2, 1)
                channels //= 2
                x = self.graph.node("AveragePool", [x], f"pool{block}_1", kernel_shape=[2, 2], strides=[2, 2])
        x = self._norm_relu(x, "conv5_blk", channels)
        x = self.graph.node("GlobalAveragePool", [x], "pool5_1")
        weight = self._kernel("fc6", channels, _CLASSES, 1)
        bias = self._weight("fc6_b", np.zeros(_CLASSES), 0.05)
        self.graph.node("Conv", [x, weight, bias], OUTPUT, kernel_shape=[1, 1], strides=[1, 1], pads=[0, 0, 0, 0])

    def _layer(self, x: str, name: str, channels: int) -> str:
        """A dense layer: what it computes is put behind what it was given."""
        y = self._norm_relu(x, f"{name}_x1", channels)
        y = self._convolution(y, f"{name}_x1", channels, _BOTTLENECK, 1)
        y = self._norm_relu(y, f"{name}_x2", _BOTTLENECK)
        y = self._convolution(y, f"{name}_x2", _BOTTLENECK, _GROWTH, 3)
        return self.graph.node("Concat", [x, y], f"{name}_concat", axis=1)

    def _convolution(self, x: str, name: str, channels: int, filters: int, size: int, stride: int = 1) -> str:
        weight = self._kernel(name, channels, filters, size)
        return self.graph.node(
            "Conv",
            [x, weight],
            f"{name}_conv",
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[size // 2] * 4,
        )

    def _norm_relu(self, x: str, name: str, channels: int) -> str:
        """Batch normalisation, then a scale and a shift of their own, as the published file has it."""
        parts = [
            self._weight(f"{name}_bn_scale", np.ones(channels), 0.0),
            self._weight(f"{name}_bn_bias", np.zeros(channels), 0.0),
            self._weight(f"{name}_bn_mean", np.zeros(channels), 0.05),
            self._weight(f"{name}_bn_var", np.ones(channels), 0.02),
        ]
        x = self.graph.node("BatchNormalization", [x, *parts], f"{name}_bn", epsilon=_EPSILON)
        for op, part, center in (("Mul", "w", np.ones(channels)), ("Add", "b", np.zeros(channels))):
            weight = self._weight(f"{name}_scale_{part}", center, 0.05)
            wide = self.graph.node("Unsqueeze", [weight], f"{name}_scale_{part}_wide", axes=[1, 2])
            x = self.graph.node(op, [x, wide], f"{name}_scale_{op.lower()}")
        return self.graph.node("Relu", [x], f"{name}_relu")

    def _kernel(self, name: str, channels: int, filters: int, size: int) -> str:
        spread = math.sqrt(2 / (channels * size * size))  # keeps the activations' size from layer to layer
        return self._weight(f"{name}_w", np.zeros((filters, channels, size, size)), spread)

    def _weight(self, name: str, center: np.ndarray, spread: float) -> str:
        noise = self._random.standard_normal(center.shape) * spread
        return self.graph.weight(name, (center + noise).astype(np.float32))
