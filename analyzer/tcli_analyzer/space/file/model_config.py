"""Model Analyzer's `model_config_parameters`: a model's configuration in YAML in which lists are values to try."""

from collections.abc import Callable
from functools import partial
from typing import Any

import yaml

from tcli_analyzer.space.file.reading import Reading, choice, scalar
from tcli_analyzer.space.file.values import read_dimension
from tcli_server.backends.knobs import Provider
from tcli_server.backends.registry import kinds
from tcli_server.yaml_nodes import is_nothing

Leave = Callable[[str, yaml.Node, str], None]
"""Told of a field that is not used: its full name, the node, the reason."""

_KINDS = {"KIND_CPU": False, "KIND_GPU": True}
_NOT_TRIED = "not one of the dimensions that are tried"


def read_model_config(leave: Leave, reading: Reading, node: yaml.Node, field: str) -> dict[str, Any]:
    """Values by the fields of `Space`."""
    found: dict[str, Any] = {}
    for key, _, value in reading.pairs(node, field):
        path = f"{field}.{key}"
        match key:
            case "max_batch_size":
                found |= _dimension(reading, value, path, "batch_sizes", "max_batch_sizes")
            case "dynamic_batching":
                found |= _batching(reading, value, path, leave)
            case "instance_group":
                found |= _groups(reading, value, path, leave)
            case "optimization":
                found |= _optimization(reading, value, path, leave)
            case "parameters":
                found |= _parameters(reading, value, path, leave)
            case "backend":
                found |= _dimension(reading, value, path, "engines", "engines")
            case _:
                leave(path, value, _NOT_TRIED)
    return found


def _dimension(reading: Reading, node: yaml.Node, path: str, key: str, field: str) -> dict[str, Any]:
    values = reading.value(partial(read_dimension, key), node, path)
    return {field: values} if values else {}


def _batching(reading: Reading, node: yaml.Node, field: str, leave: Leave) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if is_nothing(node) or (isinstance(node, yaml.ScalarNode) and node.value.lower() == "true"):
        return found
    for key, _, value in reading.pairs(node, field):
        path = f"{field}.{key}"
        if key == "max_queue_delay_microseconds":
            found |= _dimension(reading, value, path, "queue_delays", "queue_delays_us")
        elif key == "preferred_batch_size":
            found |= _preferred(reading, value, path)
        else:
            leave(path, value, _NOT_TRIED)
    return found


def _preferred(reading: Reading, node: yaml.Node, path: str) -> dict[str, Any]:
    """A list is one set of sizes, as the field is a list by itself; a list of lists is several."""
    if isinstance(node, yaml.SequenceNode) and not any(isinstance(item, yaml.SequenceNode) for item in node.value):
        node = yaml.SequenceNode(node.tag, [node], node.start_mark, node.end_mark)
    return _dimension(reading, node, path, "preferred_batch_sizes", "preferred_batch_sizes")


def _groups(reading: Reading, node: yaml.Node, field: str, leave: Leave) -> dict[str, Any]:
    """Counts and kinds of all groups, whichever are tried together."""
    counts: list[int] = []
    on_gpu: list[bool] = []
    for group in _flat(node):
        for key, _, value in reading.pairs(group, field):
            path = f"{field}.{key}"
            if key == "count":
                counts += _dimension(reading, value, path, "instance_counts", "instances").get("instances", ())
            elif key == "kind":
                for item in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    kind = reading.value(choice(*_KINDS, "KIND_AUTO"), item, path)
                    on_gpu += [_KINDS[kind]] if kind in _KINDS else []
            else:
                leave(path, value, _NOT_TRIED)
    found: dict[str, Any] = {"instances": tuple(dict.fromkeys(counts))} if counts else {}
    if on_gpu:
        found["providers"] = tuple(dict.fromkeys("cuda" if gpu else "cpu" for gpu in on_gpu))
    return found


def _flat(node: yaml.Node) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        return [node]
    return [one for item in node.value for one in _flat(item)]


def _optimization(reading: Reading, node: yaml.Node, field: str, leave: Leave) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, _, value in reading.pairs(node, field):
        path = f"{field}.{key}"
        if key == "graph":
            for name, _, level in reading.pairs(value, path):
                if name == "level":
                    found |= _dimension(reading, level, f"{path}.level", "graph_levels", "graph_levels")
                else:
                    leave(f"{path}.{name}", level, _NOT_TRIED)
        elif key == "execution_accelerators":
            found |= _accelerators(reading, value, path, leave)
        else:
            leave(path, value, _NOT_TRIED)
    return found


def _accelerators(reading: Reading, node: yaml.Node, field: str, leave: Leave) -> dict[str, Any]:
    names: list[str] = []
    precisions: list[str] = []
    sides = [pair for item in _flat(node) for pair in reading.pairs(item, field)]
    for side, _, listed in sides:
        path = f"{field}.{side}"
        for item in _flat(listed):
            values = {key: value for key, _, value in reading.pairs(item, path)}
            known = _providers()
            name = reading.value(choice(*known), values["name"], f"{path}.name") if "name" in values else None
            names += [name] if name else []
            options = values.get("parameters")
            for key, _, value in reading.pairs(options, f"{path}.parameters") if options is not None else ():
                word = _word(known[name], key, value) if name else None
                if word is not None:
                    precisions.append(word)
                else:
                    leave(f"{path}.parameters.{key}", value, _NOT_TRIED)
    found: dict[str, Any] = {"providers": tuple(dict.fromkeys(names))} if names else {}
    return {**found, "precisions": tuple(dict.fromkeys(precisions))} if precisions else found


def _parameters(reading: Reading, node: yaml.Node, field: str, leave: Leave) -> dict[str, Any]:
    """Threads and precision, as the engines call them; `{key: {string_value: value}}` or `{key: value}`."""
    found: dict[str, Any] = {}
    threads = {kind.knobs.threads for kind in kinds() if kind.knobs.threads}
    told = {
        one.precision: one for kind in kinds() for one in kind.knobs.providers if one.precision and not one.accelerator
    }
    for key, _, value in reading.pairs(node, field):
        if isinstance(value, yaml.MappingNode):
            inner = {name: one for name, _, one in reading.pairs(value, f"{field}.{key}")}
            value = inner.get("string_value", value)
        if key in threads:
            found |= _dimension(reading, value, f"{field}.{key}", "threads", "threads")
        elif key in told:
            found |= _dimension(reading, value, f"{field}.{key}", "precisions", "precisions")
        else:
            leave(f"{field}.{key}", value, _NOT_TRIED)
    return found


def _providers() -> dict[str, Provider]:
    """By the accelerator's name."""
    listed = [one for kind in kinds() for one in kind.knobs.providers]
    return {one.accelerator: one for one in listed if one.accelerator} | {"cuda": Provider("cuda", True)}


def _word(provider: Provider, key: str, node: yaml.Node) -> str | None:
    if key != provider.precision:
        return None
    text = scalar(node, "a precision", "write FP16")
    return next((word for word, written in provider.precisions.items() if written == text), None)
