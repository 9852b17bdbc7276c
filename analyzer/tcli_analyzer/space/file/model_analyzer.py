"""Files of NVIDIA's Model Analyzer: what means something here is read, and the rest is named with the reason."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import yaml

from tcli_analyzer.space.file.document import AnalysisFile, ModelEntry, NotUsed
from tcli_analyzer.space.file.model_analyzer_fields import LIMITS, MARKS, UNUSED, UNUSED_FLAGS, USED, reason_of
from tcli_analyzer.space.file.model_config import read_model_config
from tcli_analyzer.space.file.own import OWN_KEYS, read_shape
from tcli_analyzer.space.file.reading import (
    Reading,
    RefusedError,
    choice,
    flag,
    number,
    path_of,
    paths,
    scalar,
    text_of,
    texts,
    whole,
)
from tcli_analyzer.space.file.values import read_dimension
from tcli_analyzer.space.values import SpaceValues
from tcli_server.yaml_nodes import describe, entries_of, is_nothing, line_of

_BUDGET = number("milliseconds above 0", "50")
_LOADS = {"batch_sizes": "client_batch_sizes", "concurrency": "concurrency", "request_rate": "request_rates"}
"""Parameters of the load, and the dimensions here."""
_MODES = {"brute": "grid", "quick": "quick", "optuna": "optuna"}
_OBJECTIVES = {"perf_throughput": "throughput", "perf_latency_p99": "latency"}


def is_model_analyzers(node: yaml.MappingNode) -> bool:
    """Whether a file has a key that only Model Analyzer's have, and none that only ours have."""
    keys = {str(key.value).replace("-", "_") for key, _ in entries_of(node) if isinstance(key, yaml.ScalarNode)}
    return not keys & OWN_KEYS and any(key in MARKS or key.startswith("run_config_search_") for key in keys)


def read_model_analyzer(reading: Reading, node: yaml.MappingNode) -> AnalysisFile:
    """What the file says; problems are noted."""
    return _File(reading).read(node)


class _File:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._unused: list[NotUsed] = []

    def read(self, node: yaml.MappingNode) -> AnalysisFile:
        nodes = {key.replace("-", "_"): value for key, _, value in self._reading.pairs(node, "")}
        for key, value in nodes.items():
            if key not in USED:
                self._leave(key, value, reason_of(key))
        shared = self._shared(nodes)
        found = self._simple(nodes)
        models = self._models(nodes["profile_models"]) if "profile_models" in nodes else ()
        lines = self._reading.lines
        not_used = tuple(sorted(self._unused, key=lambda one: one.line))
        return AnalysisFile(self._reading.path, models, **found, **shared, not_used=not_used, lines=lines)

    def _leave(self, field: str, node: yaml.Node, reason: str) -> None:
        self._unused.append(NotUsed(field, self._reading.lines.get(field, line_of(node)), reason))

    def _value(self, read: Any, nodes: Mapping[str, yaml.Node], key: str, field: str = "") -> Any:
        return self._reading.value(read, nodes[key], field or key) if key in nodes else None

    def _simple(self, nodes: Mapping[str, yaml.Node]) -> dict[str, Any]:
        """What is for all models and stays the same."""
        found = {
            "model_repository": self._value(paths, nodes, "model_repository") or (),
            "output": self._value(path_of, nodes, "export_path"),
            "search": _MODES.get(self._value(choice(*_MODES), nodes, "run_config_search_mode") or ""),
        }
        return {**found, **self._server(nodes)}

    def _server(self, nodes: Mapping[str, yaml.Node]) -> dict[str, Any]:
        """The server's address, which means something only where Model Analyzer does not start one itself."""
        mode = self._value(choice("local", "docker", "remote", "c_api"), nodes, "triton_launch_mode")
        protocol = self._value(choice("http", "grpc"), nodes, "client_protocol") or "grpc"
        endpoints = {"http": "triton_http_endpoint", "grpc": "triton_grpc_endpoint"}
        if mode != "remote":
            for key in ("triton_launch_mode", "client_protocol", *endpoints.values(), "reload_model_disable"):
                if key in nodes:
                    self._leave(key, nodes[key], "only with triton_launch_mode: remote; models run in this process")
            return {}
        other = endpoints["http" if protocol == "grpc" else "grpc"]
        if other in nodes:
            self._leave(other, nodes[other], f"client_protocol is {protocol}")
        address = text_of("an address such as localhost:8001", "localhost:8001")
        url = self._value(address, nodes, endpoints[protocol]) or f"localhost:{8001 if protocol == 'grpc' else 8000}"
        as_is = self._value(flag, nodes, "reload_model_disable")
        return {"url": url, "protocol": protocol, "as_is": as_is}

    def _shared(self, nodes: Mapping[str, yaml.Node]) -> dict[str, Any]:
        """What is for all models, and may be said again for one."""
        found = self._goal(nodes, "")
        flags = self._value(self._flags, nodes, "perf_analyzer_flags") or {}
        space = SpaceValues(**{**self._ranges(nodes), **self._loads(nodes, "")})
        if self._value(flag, nodes, "run_config_search_disable"):
            space = replace(space, fixed=True)
        return {**found, **flags, "space": space}

    def _loads(self, nodes: Mapping[str, yaml.Node], prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, dimension in _LOADS.items():
            if key in nodes:
                value = self._reading.value(partial(read_dimension, dimension), nodes[key], f"{prefix}{key}")
                found |= {dimension: value} if value else {}
        return found

    def _ranges(self, nodes: Mapping[str, yaml.Node]) -> dict[str, Any]:
        """The limits of its automatic search; without any of a dimension, ours are tried."""
        found: dict[str, Any] = {}
        for key, (field, least, most, is_doubled) in LIMITS.items():
            names = (f"run_config_search_min_{key}", f"run_config_search_max_{key}")
            if not any(name in nodes for name in names):
                continue
            read = whole("a whole number of at least 1", "1", least=1)
            low = self._value(read, nodes, names[0]) or least
            high = self._value(read, nodes, names[1]) or most
            values = tuple(_doubled(low, high)) if is_doubled else tuple(range(low, min(high, low + 999) + 1))
            if values:
                found[field] = values
            else:
                name = names[1] if names[1] in nodes else names[0]
                expected = f"a largest value that is not below the smallest, {low}"
                self._reading.complain(nodes[name], name, f"'{high}'", expected, f"write {names[1]}: {max(low, most)}")
        rate = "request_rate"
        enabled = self._value(flag, nodes, "request_rate_search_enable")
        if enabled and "request_rates" not in found and rate not in nodes:
            found["request_rates"] = tuple(_doubled(*LIMITS[rate][1:3]))
        return found

    def _goal(self, nodes: Mapping[str, yaml.Node], prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if "objectives" in nodes:
            found["objective"] = self._reading.value(self._objective, nodes["objectives"], f"{prefix}objectives")
        if "constraints" in nodes:
            found["latency_budget"] = self._reading.value(self._budget, nodes["constraints"], f"{prefix}constraints")
        if "latency_budget" in nodes:
            found["latency_budget"] = self._value(_BUDGET, nodes, "latency_budget", f"{prefix}latency_budget")
        return {key: value for key, value in found.items() if value is not None}

    def _objective(self, reading: Reading, node: yaml.Node, field: str) -> str | None:
        """The one of ours that counts most; others are named."""
        weights: dict[str, float] = {}
        if isinstance(node, yaml.MappingNode):
            for name, _, value in reading.pairs(node, field):
                weights[name] = reading.value(number("a number above 0", "10"), value, f"{field}.{name}") or 0.0
        else:
            weights = dict.fromkeys(texts("names of metrics", "perf_throughput")(reading, node, field), 1.0)
        ours = [name for name in weights if name in _OBJECTIVES]
        best = max(ours, key=lambda name: weights[name], default=None)
        for name in weights:
            if name != best:
                reason = "one objective is pursued" if name in _OBJECTIVES else "throughput or p99 is pursued"
                self._leave(f"{field}.{name}", node, reason)
        return _OBJECTIVES[best] if best is not None else None

    def _budget(self, reading: Reading, node: yaml.Node, field: str) -> float | None:
        found = None
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for item in items:
            for name, _, bounds in reading.pairs(item, field):
                limits = {key: value for key, _, value in reading.pairs(bounds, f"{field}.{name}")}
                if name == "perf_latency_p99" and "max" in limits:
                    found = reading.value(_BUDGET, limits["max"], f"{field}.{name}.max")
                else:
                    self._leave(f"{field}.{name}", bounds, "the constraint here is perf_latency_p99 with max")
        return found

    def _flags(self, reading: Reading, node: yaml.Node, field: str) -> dict[str, Any]:
        """What perf_analyzer is told."""
        found: dict[str, Any] = {}
        for name, _, value in reading.pairs(node, field):
            path = f"{field}.{name}"
            match name.replace("_", "-"):
                case "shape":
                    found["shape"] = reading.value(read_shape, value, path)
                case "input-data" if isinstance(value, yaml.ScalarNode) and value.value in ("random", "zero"):
                    self._leave(path, value, "random inputs are made where none are given")
                case "input-data":
                    found["input"] = reading.value(texts("files or folders of inputs", "./data.json"), value, path)
                case "request-distribution" if field.startswith("profile_models."):
                    self._leave(path, value, "it is for all models; write it at the top")
                case "request-distribution":
                    found["arrivals"] = reading.value(choice("poisson", "constant"), value, path)
                case other:
                    self._leave(path, value, UNUSED_FLAGS.get(other, "not a setting of this analysis"))
        return {key: value for key, value in found.items() if value is not None}

    def _models(self, node: yaml.Node) -> tuple[ModelEntry, ...]:
        found: dict[str, ModelEntry] = {}
        for name, where, value in self._named(node):
            if not name or name in found:
                expected, fix = ("each model once", "remove it") if name else ("names of models", "write [my_model]")
                self._reading.complain(where, "profile_models", f"'{name}' again" if name else "no name", expected, fix)
            else:
                found[name] = self._model(name, value)
        return tuple(found.values())

    def _named(self, node: yaml.Node) -> Iterator[tuple[str, yaml.Node, yaml.Node | None]]:
        """Names of models and what is said of each: a text with commas, a list, or a mapping; lists may hold mappings."""
        if isinstance(node, yaml.MappingNode):
            yield from self._reading.pairs(node, "profile_models")
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield from self._named(item)
        else:
            text = scalar(node, "names of models", "write profile_models: [my_model]")
            for part in text.split(","):
                yield part.strip(), node, None

    def _model(self, name: str, node: yaml.Node | None) -> ModelEntry:
        field = f"profile_models.{name}"
        if node is None or is_nothing(node):
            return ModelEntry(name)
        try:
            nodes = {key: value for key, _, value in self._reading.pairs(node, field)}
        except RefusedError:
            expected = "what to try with the model: parameters, model_config_parameters, ..."
            self._reading.complain(node, field, describe(node), expected, "indent them below the model's name")
            return ModelEntry(name)
        values: dict[str, Any] = self._goal(nodes, f"{field}.")
        space: dict[str, Any] = {}
        for key, value in nodes.items():
            path = f"{field}.{key}"
            match key:
                case "parameters":
                    space |= self._reading.value(self._parameters, value, path) or {}
                case "model_config_parameters":
                    read = self._reading.value(partial(read_model_config, self._leave), value, path) or {}
                    searched = dict.fromkeys(("max_batch_sizes", "instances"), ())  # which it does no more by itself
                    space |= {**searched, **read, "fixed": True}
                case "perf_analyzer_flags":
                    flags = self._reading.value(self._flags, value, path) or {}
                    values |= {name: one for name, one in flags.items() if name in ("shape", "input")}
                case "weighting":
                    values["weight"] = self._reading.value(number("a number above 0", "1"), value, path) or 1.0
                case "cpu_only":
                    if self._reading.value(flag, value, path):
                        space.setdefault("providers", ("cpu",))
                case "objectives" | "constraints" | "latency_budget":
                    pass
                case other:
                    self._leave(path, value, UNUSED.get(other) or reason_of(other))
        own = SpaceValues(**space)
        return ModelEntry(name, space=own, **values)

    def _parameters(self, reading: Reading, node: yaml.Node, field: str) -> dict[str, Any]:
        nodes = {key: value for key, _, value in reading.pairs(node, field)}
        for key, value in nodes.items():
            if key not in _LOADS:
                self._leave(f"{field}.{key}", value, "not a parameter of the load here")
        return self._loads(nodes, f"{field}.")


def _doubled(low: int, high: int) -> Iterator[int]:
    """1, 2, 4, ... from `low` to `high`."""
    value = low
    while value <= high:
        yield value
        value *= 2
