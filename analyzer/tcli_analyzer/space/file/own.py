"""Our own schema of the file of `--config`: keys are the names of options, and dimensions are below `space`."""

from typing import Any

import yaml

from tcli_analyzer.rate.slo import SloError, parse_slo
from tcli_analyzer.space.file.document import AnalysisFile, ModelEntry
from tcli_analyzer.space.file.model_analyzer_fields import MARKS
from tcli_analyzer.space.file.reading import (
    Read,
    Reading,
    RefusedError,
    choice,
    duration,
    flag,
    number,
    path_of,
    paths,
    scalar,
    text_of,
    texts,
    whole,
)
from tcli_analyzer.space.file.values import dimension_readers
from tcli_analyzer.space.values import READERS, SpaceValues
from tcli_server.yaml_nodes import describe, is_nothing, plain

_DIMS = "sizes, such as [224, 224, 3]"


def read_own_file(reading: Reading, node: yaml.MappingNode) -> AnalysisFile:
    """What the file says; problems are noted."""
    values = reading.mapping(node, "", {**_FIELDS, "model": _FIELDS["models"]}, _ELSEWHERE)
    if "model" in values and "models" in values:
        reading.complain(node, "model", "both model and models", "one of them", "remove one")
    values = {"models" if key == "model" else key: value for key, value in values.items()}
    return AnalysisFile(reading.path, **values, lines=reading.lines)


def _space(reading: Reading, node: yaml.Node, field: str) -> SpaceValues:
    found = reading.mapping(node, field, dimension_readers())
    return SpaceValues(**{READERS[key].field: value for key, value in found.items()})


def read_shape(reading: Reading, node: yaml.Node, field: str) -> dict[str, tuple[int, ...]]:
    """`{INPUT: [224, 224, 3]}`, or `INPUT:224,224,3` as the option has it, or a list of these."""
    if isinstance(node, yaml.MappingNode):
        return {key: _dims(value, value, f".{key}") for key, _, value in reading.pairs(node, field)}
    found = {}
    for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        expected = "NAME:D1,D2, such as INPUT0:224,224,3"
        name, _, dims = scalar(item, expected, "write shape: {INPUT0: [224, 224, 3]}").rpartition(":")
        if not name:
            raise RefusedError(item, describe(item), expected, "write shape: {INPUT0: [224, 224, 3]}")
        found[name] = _sizes([part.strip() for part in dims.split(",")], item, "")
    return found


def _dims(value: yaml.Node, where: yaml.Node, below: str) -> tuple[int, ...]:
    if isinstance(value, yaml.SequenceNode):
        return _sizes([scalar(item, _DIMS, "write [224, 224, 3]") for item in value.value], where, below)
    return _sizes([part.strip() for part in scalar(value, _DIMS, "write [224, 224, 3]").split(",")], where, below)


def _sizes(found: list[str], where: yaml.Node, below: str) -> tuple[int, ...]:
    sizes = tuple(int(text) for text in found if text.isascii() and text.isdigit() and len(text) < 8)
    if len(sizes) < len(found) or min(sizes, default=1) < 1:
        shown = plain(where) if isinstance(where, yaml.ScalarNode) else ", ".join(found)[:60]
        raise RefusedError(where, f"'{shown}'", _DIMS, "write whole numbers of at least 1", below)
    return sizes


def _models(reading: Reading, node: yaml.Node, field: str) -> tuple[ModelEntry, ...]:
    """`a`, `[a, b]`, `[{name: a, weight: 2}, b]` or `{a: {weight: 2}, b: }`."""
    found: list[ModelEntry] = []
    if isinstance(node, yaml.MappingNode):
        for name, _, value in reading.pairs(node, field):
            values = {} if is_nothing(value) else reading.mapping(value, f"{field}.{name}", _MODEL_FIELDS)
            found.append(ModelEntry(name, **values))
        return tuple(found)
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not items:
        raise RefusedError(node, "an empty list", "names of models", f"write {field}: [densenet_onnx]")
    for index, item in enumerate(items):
        path = f"{field}[{index}]"
        values = _named(reading, item, path)
        if values["name"] in {one.name for one in found}:
            reading.complain(item, path, f"'{values['name']}' again", "each model once", "remove it")
        else:
            found.append(ModelEntry(**values))
    return tuple(found)


def _named(reading: Reading, item: yaml.Node, path: str) -> dict[str, Any]:
    expected = "the name of a model, or name: with more below it"
    if not isinstance(item, yaml.MappingNode):
        return {"name": scalar(item, expected, "write [densenet_onnx]").strip()}
    name = text_of(expected, "densenet_onnx")
    values = reading.mapping(item, path, {"name": name, **_MODEL_FIELDS})
    if "name" not in values:
        reading.complain(item, f"{path}.name", "no name", expected, "add name: densenet_onnx")
    return {"name": "", **values}


def _slo(_: Reading, node: yaml.Node, field: str) -> str:
    """Limits on latencies, as `--slo` takes them."""
    del field
    expected, fix = "a limit such as p99<=50ms", "write slo: p99<=50ms"
    text = scalar(node, expected, fix)
    try:
        parse_slo(text)
    except SloError as error:
        reason = str(error).splitlines()[0].partition(": ")[2].partition(";")[0]
        raise RefusedError(node, f"'{plain(node)}' ({reason})", expected, fix) from None
    return text


_OBJECTIVE = choice("throughput", "latency")
_BUDGET = number("milliseconds above 0", "50")
_INPUT = texts("files or folders of inputs, as --input takes them", "./photos")
_MODEL_FIELDS: dict[str, Read] = {
    "weight": number("a number above 0", "1"),
    "space": _space,
    "shape": read_shape,
    "input": _INPUT,
    "objective": _OBJECTIVE,
    "latency_budget": _BUDGET,
    "slo": _slo,
}
_FIELDS: dict[str, Read] = {
    "models": _models,
    "model_repository": paths,
    "objective": _OBJECTIVE,
    "latency_budget": _BUDGET,
    "slo": _slo,
    "tolerance": number("a number of at least 0", "0.01", above=False),
    "tie": number("a percentage above 0 and below 100", "2", below=100.0),
    "max_time": duration,
    "search": choice("quick", "grid", "optuna"),
    "seed": whole("a whole number", "0"),
    "arrivals": text_of("poisson, constant, or a file of recorded arrivals", "poisson"),
    "arrivals_speed": texts("numbers above 0", "1, 2"),
    "arrivals_window": text_of("seconds of a recording, such as 0-60", "0-60"),
    "shape": read_shape,
    "input": _INPUT,
    "url": text_of("an address such as localhost:8000", "localhost:8000"),
    "protocol": choice("http", "grpc"),
    "as_is": flag,
    "measurement_interval": number("milliseconds above 0", "500"),
    "memory_limit": whole("a whole number of MiB, at least 1", "4096", least=1),
    "output": path_of,
    "png": flag,
    "markdown": flag,
    "parquet": flag,
    "space": _space,
}
_ELSEWHERE = {
    **{key: f"move it below space: (space:, then {key}: indented)" for key in READERS},
    **{
        key: f"say it on the command line: --{key.replace('_', '-')} is for one run"
        for key in ("apply", "json", "resume", "what_if", "config")
    },
    **dict.fromkeys(
        MARKS - {"objectives"},
        "a file is of one kind: this is a field of Model Analyzer's, and others here are of tcli's own",
    ),
}
"""Keys that are right somewhere else."""
OWN_KEYS = _FIELDS.keys() - {"model_repository", "latency_budget"} | {"model"}
"""Keys that Model Analyzer does not have."""
