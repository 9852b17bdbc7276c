"""Values of dimensions in YAML: a list, one text with commas, or a range."""

from collections.abc import Callable
from functools import partial
from typing import Any

import yaml

from tcli_analyzer.space.file.reading import Read, Reading, RefusedError, scalar, whole
from tcli_analyzer.space.values import READERS, parse_values, read_values
from tcli_server.yaml_nodes import describe

_RANGE = ("start", "stop", "step")
_MOST = 1_000


def dimension_readers() -> dict[str, Read]:
    """A reader for each dimension, by its key."""
    return {key: partial(read_dimension, key) for key in READERS}


def read_dimension(key: str, reading: Reading, node: yaml.Node, field: str) -> tuple[Any, ...]:
    """The values of a dimension, see `values.READERS`.

    Raises:
        RefusedError: they do not fit.
    """
    if isinstance(node, yaml.MappingNode):
        return _judged(key, node, lambda: read_values(key, _range(key, reading, node, field)))
    if isinstance(node, yaml.SequenceNode):
        found = [_item(key, item) for item in node.value]
        for item, text in zip(node.value, found, strict=True):  # each has its own line
            _judged(key, item, partial(read_values, key, [text]))
        return _judged(key, node, lambda: read_values(key, found))
    dimension = READERS[key]
    text = scalar(node, dimension.expected, f"write {key}: [{dimension.example}]")
    return _judged(key, node, lambda: parse_values(key, text))


def _judged(key: str, node: yaml.Node, read: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    try:
        return read()
    except ValueError as error:
        found, _, rest = str(error).partition(": expected ")
        expected, _, hint = rest.partition("; ")
        example = READERS[key].example
        raise RefusedError(node, found, expected, hint or f"write {key}: [{example}]") from None


def _item(key: str, node: yaml.Node) -> str:
    """The text of one value; sizes that belong together are a list."""
    dimension = READERS[key]
    if key == "preferred_batch_sizes" and isinstance(node, yaml.SequenceNode):
        parts = [scalar(part, dimension.expected, "write [[4], [4, 8]]") for part in node.value]
        return "+".join(parts) or "none"
    return scalar(node, dimension.expected, f"write {key}: [{dimension.example}]").strip()


def _range(key: str, reading: Reading, node: yaml.Node, field: str) -> list[str]:
    """`{start: 2, stop: 8, step: 2}` -> 2, 4, 6, 8."""
    fix = f"write {key}: {{start: 1, stop: 8}}"
    read = whole("a whole number of at least 1", "1", least=1)
    values = reading.mapping(node, field, dict.fromkeys(_RANGE, read))
    if "start" not in values or "stop" not in values or values["stop"] < values["start"]:
        raise RefusedError(node, describe(node), "start, and stop that is not below it", fix)
    counts = range(values["start"], values["stop"] + 1, values.get("step", 1))
    if len(counts) > _MOST:
        raise RefusedError(node, f"{len(counts):,} values", f"at most {_MOST:,}", "give a larger step")
    return [str(count) for count in counts]
