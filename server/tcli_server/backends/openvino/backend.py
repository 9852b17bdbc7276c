"""Opens the model files that OpenVINO reads."""

import threading
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import openvino as ov
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tcli_server.backends import Backend, Placement, Surroundings
from tcli_server.backends.cache_folder import made
from tcli_server.backends.complaint import Complaint
from tcli_server.backends.model_file import ModelFileError
from tcli_server.backends.openvino import parameters
from tcli_server.backends.openvino.batching import is_batch_marked, try_graphs, with_any_batch
from tcli_server.backends.openvino.instance import OpenVinoInstance
from tcli_server.backends.openvino.kind import OPENVINO
from tcli_server.backends.openvino.reading import plain, read_graph, version
from tcli_server.backends.openvino.shapes import ShapeCheck
from tcli_server.backends.openvino.signature import graph_signature
from tcli_server.backends.openvino.tiles import replace_tiles
from tcli_server.errors import InvalidArgumentError
from tcli_server.observability.log import LOG
from tcli_server.signature import ModelSignature

_MOST_TRIED = 256


class OpenVinoBackend(Backend):
    """Makes instances of OpenVINO models, each of which is compiled for its own share of the cores."""

    kind = OPENVINO

    def __init__(self) -> None:
        self._trying = threading.Lock()
        self._tried: dict[tuple[object, ...], bool] = {}

    def complaints(self, config: ModelConfig) -> list[Complaint]:
        """As `Backend.complaints`."""
        return list(parameters.complaints(config, self._core.available_devices))

    def thread_count(self, config: ModelConfig, placement: Placement) -> int:
        """As `Backend.thread_count`."""
        return parameters.thread_count(config, placement)

    def open(
        self, config: ModelConfig, model_file: Path, placement: Placement, surroundings: Surroundings
    ) -> OpenVinoInstance:
        """As `Backend.open`.

        Raises:
            ModelFileError: the file is none that OpenVINO reads, or its graph cannot be served.
            InvalidArgumentError: the cache's folder cannot be used, or inputs cannot have the shapes that are asked for.
        """
        graph = read_graph(self._core, model_file, parameters.is_on(config, "ENABLE_MMAP"))
        if graph.get_sinks() or graph.get_variables():
            raise ModelFileError(
                model_file,
                "a model that keeps nothing from one request to the next",
                "a model with a memory of its own (ReadValue and Assign), which would mix the requests of all clients",
                "export it with its states as inputs and outputs, and write sequence_batching { state { ... } }",
            )
        wanted = {tensor.name for tensor in (*config.input, *config.output)}
        graph = self._shaped(graph, config, wanted, model_file)
        signature = graph_signature(graph, wanted)
        device = parameters.device(config, self._core.available_devices)
        properties = parameters.properties(config, placement, device)
        cache = parameters.cache_folder(config)
        if cache:
            properties["CACHE_DIR"] = str(made(surroundings.folder / cache, 'parameters["CACHE_DIR"]'))
        try:
            compiled = self._core.compile_model(graph, device, properties)
        except Exception as error:  # OpenVINO raises RuntimeErrors that differ in their texts only
            found = f"refused by OpenVINO {version()} ({plain(error)})"
            raise ModelFileError(
                model_file,
                f"a model that OpenVINO can run on {device}",
                found,
                "correct the parameters, or export it again",
            ) from error
        _tell_precision(config, compiled, signature)
        lanes = max(1, int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))
        again = partial(self._core.compile_model, graph, device, properties)
        return OpenVinoInstance(compiled, signature, lanes, device == "CPU", ShapeCheck(graph), again)

    @cached_property
    def _core(self) -> Any:
        return ov.Core()

    def _shaped(self, graph: ov.Model, config: ModelConfig, wanted: set[str], file: Path) -> ov.Model:
        """The graph with the shapes that are asked for, and with a batch that varies where that is asked for and right."""
        if parameters.is_on(config, "RESHAPE_IO_LAYERS"):
            _reshape(graph, config, wanted)
        replace_tiles(graph, file)
        if graph_signature(graph).batchable or not (config.max_batch_size > 0 or is_batch_marked(graph)):
            return graph
        changed = with_any_batch(graph)
        return changed if changed is not None and self._is_right(graph, changed, file) else graph

    def _is_right(self, graph: ov.Model, changed: ov.Model, file: Path) -> bool:
        """Whether a graph answers batches right; tried once for all instances of a file."""
        with self._trying:
            key = (*_stamp(file), *_stamp(file.with_suffix(".bin")), *map(str, graph.inputs))
            if key not in self._tried:
                if len(self._tried) >= _MOST_TRIED:
                    self._tried.clear()
                verdict = try_graphs(self._core, graph, changed)
                if verdict.outcome != "ok":
                    LOG.warning("%s is not batched: %s", file, verdict.sentence)
                self._tried[key] = verdict.outcome == "ok"
            return self._tried[key]


def _stamp(file: Path) -> tuple[object, ...]:
    try:
        status = file.stat()
    except OSError:
        return ()
    return str(file), status.st_mtime_ns, status.st_size, status.st_ino


def _reshape(graph: ov.Model, config: ModelConfig, wanted: set[str]) -> None:
    names = [tensor.name for tensor in graph_signature(graph, wanted).inputs]
    ports = dict(zip(names, graph.inputs, strict=True))
    batch = [-1] if config.max_batch_size > 0 else []
    shapes = {
        ports[tensor.name]: ov.PartialShape(
            [*batch, *(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)]
        )
        for tensor in config.input
        if tensor.name in ports
    }
    try:
        graph.reshape(shapes)
    except RuntimeError as error:
        listed = ", ".join(f"'{tensor.name}' {list(tensor.dims)}" for tensor in config.input)
        raise InvalidArgumentError(
            f'parameters["RESHAPE_IO_LAYERS"]: the model cannot take inputs of the shapes {listed} ({plain(error)}); fix: '
            "write dims that it can take, or remove the parameter"
        ) from None


def _tell_precision(config: ModelConfig, compiled: ov.CompiledModel, signature: ModelSignature) -> None:
    """Say where answers are less exact than the model's data types promise, or than was asked for."""
    try:
        used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    except (RuntimeError, AttributeError):  # not every device says
        return
    asked = parameters.precision(config)
    if asked and asked != used:
        LOG.warning("'%s' asks for %s, but OpenVINO computes it in %s on this machine", config.name, asked, used)
    elif not asked and used in ("bf16", "f16") and any(one.datatype in ("FP32", "FP64") for one in signature.outputs):
        LOG.info(
            "'%s' is computed in %s, OpenVINO's choice on this machine; INFERENCE_PRECISION_HINT says otherwise: f32",
            config.name,
            used,
        )
