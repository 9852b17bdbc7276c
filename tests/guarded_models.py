"""Models that answer a little differently from each other, and inputs to tell them apart by."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

import batching_models as graphs
from tcli_analyzer.configuration import Configuration, fill_gaps, vary
from tcli_analyzer.inputs import Inputs
from tcli_analyzer.target import EngineTarget
from tcli_server.repository import read_config


@dataclass(frozen=True)
class Given:
    """Inputs that somebody has, without batch dimension."""

    items: Sequence[Inputs]

    def make(self, config: ModelConfig, items: int) -> list[Inputs]:
        del items
        first = (np.newaxis,) if config.max_batch_size else ()
        return [{name: array[(*first, ...)] for name, array in item.items()} for item in self.items]


@dataclass(frozen=True)
class Deadly:
    """Ends the process that makes the inputs."""

    def make(self, config: ModelConfig, items: int) -> list[Inputs]:
        del config, items
        os.kill(os.getpid(), signal.SIGSEGV)
        return []


def rows_of(count: int, *shape: int, seed: int = 1) -> Given:
    """Normal ones for an input x."""
    random = np.random.default_rng(seed)
    return Given([{"x": random.standard_normal(shape).astype(np.float32)} for _ in range(count)])


def scaled(path: Path, factor: float = 2.0) -> Path:
    """x [N, 4] -> y [N, 4] = factor * x."""
    held = numpy_helper.from_array(np.array(factor, np.float32), "factor")
    return graphs.save(
        path, [helper.make_node("Mul", ["x", "factor"], ["y"])], {"x": ["N", 4]}, {"y": ["N", 4]}, [held]
    )


def logarithm(path: Path, base: str = "x") -> Path:
    """x [N, 4] -> y [N, 4], the logarithm of x, or of its magnitude."""
    nodes = [helper.make_node("Abs", ["x"], ["magnitude"]), helper.make_node("Log", [base], ["y"])]
    return graphs.save(path, nodes, {"x": ["N", 4]}, {"y": ["N", 4]})


def classes(path: Path, sharpness: float = 1.0, node: str = "Softmax") -> Path:
    """x [N, 4] -> y [N, 4], probabilities."""
    held = numpy_helper.from_array(np.array(sharpness, np.float32), "sharpness")
    nodes = [helper.make_node("Mul", ["x", "sharpness"], ["scores"]), helper.make_node(node, ["scores"], ["y"], axis=1)]
    return graphs.save(path, nodes, {"x": ["N", 4]}, {"y": ["N", 4]}, [held])


def best_class(path: Path, node: str = "ArgMax") -> Path:
    """x [N, 4] -> y [N, 1], the place of its largest value."""
    nodes = [helper.make_node(node, ["x"], ["y"], axis=1, keepdims=1)]
    return graphs.save(path, nodes, {"x": ["N", 4]}, {"y": ["N", 1]}, (), {"y": TensorProto.INT64})


def looked_up(path: Path, rows: int = 10) -> Path:
    """x [N, 4] -> y [N, 4], by a table of so many rows; what is not in it is an error."""
    nodes = [
        helper.make_node("Cast", ["x"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["y"]),
    ]
    return graphs.save(path, nodes, {"x": ["N", 4]}, {"y": ["N", 4]}, [graphs.floats("table", rows)])


def found_rows(path: Path, threshold: float = 0.0) -> Path:
    """x [M] -> y [K], those above a threshold, as a detector gives."""
    held = numpy_helper.from_array(np.array(threshold, np.float32), "threshold")
    nodes = [
        helper.make_node("Greater", ["x", "threshold"], ["above"]),
        helper.make_node("Compress", ["x", "above"], ["y"], axis=0),
    ]
    return graphs.save(path, nodes, {"x": ["M"]}, {"y": ["K"]}, [held])


def config_for(dims: str = "[ 4 ]", output: str = "[ 4 ]", max_batch_size: int = 8, kind: str = "FP32") -> str:
    """Of a model from x to y."""
    return f"""
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input {{ name: "x" data_type: TYPE_FP32 dims: {dims} }}
output {{ name: "y" data_type: TYPE_{kind} dims: {output} }}
"""


def complete_config(repository: Path, name: str = "m") -> ModelConfig:
    """A model's configuration, with what the server completes."""
    with EngineTarget(repository, name) as target:
        complete = target.load()
    path = repository / name / "config.pbtxt"
    return fill_gaps(read_config(path) if path.exists() else ModelConfig(), complete)


def current(config: ModelConfig) -> Configuration:
    """The owner's."""
    return Configuration("current", config.max_batch_size, 1, config, current=True)


def varied(config: ModelConfig, size: int, instances: int = 1, rewritten: bool = False) -> Configuration:
    """A configuration of the grid."""
    label = f"batch {size}, {instances} instances"
    return Configuration(label, size, instances, vary(config, size, instances), rewritten_model=rewritten)
