"""A YAML file of options: each key is the name of one, its value what the command line would have.

YAML reads some plain words as something else than they say (`off`, `010`, `1e3`), and its readers do not agree on which: those
are refused with how to write them.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tcli_server.yaml_nodes import YamlFileError, describe, entries_of, is_nothing, line_of, plain, read_nodes
from triton_cli.option_sources import Complaints, Written, example_of
from triton_cli.triton_options import is_switch
from triton_cli.tritonserver_options import RENAMED, TRITONSERVER_OPTIONS

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_NUMBER_TO_SOME = re.compile(r"[-+]?(0o[0-7]+|(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+)")
"""What YAML 1.2 takes for a number and PyYAML for text."""

_DIGITS_OR_TEXT = "a plain decimal number, or text in quotes"
_SWITCH_WORDS = ("true", "false", "on", "off")
_SWITCHES_OF_TRITONSERVER = {name for name, option in TRITONSERVER_OPTIONS.items() if option.boolean} | RENAMED.keys()
_TAG = "tag:yaml.org,2002:"


class _RefusedError(Exception):
    """A value that cannot be taken: what was found, what is expected, and how to write it."""

    def __init__(self, node: yaml.Node, found: str, expected: str, fix: str) -> None:
        super().__init__(f"found {found}, expected {expected}; fix: {fix}")
        self.line = line_of(node)


def read_option_file(path: Path, options: Mapping[str, Any], wrong: Complaints) -> list[Written]:
    """The options that a file has; problems are noted.

    Args:
        options: the parameters that it may have, by name.
    """
    try:
        node = read_nodes(path)
    except YamlFileError as error:
        for problem in error.problems:
            wrong.add_line(problem.line or 0, str(problem))
        return []
    written: dict[str, Written] = {}
    for key, value in entries_of(node):
        line = line_of(key)
        if not isinstance(key, yaml.ScalarNode):
            found = f"found {describe(key)} as a key, expected an option; fix: write 'http-port: 8000'"
            wrong.add_line(line, f"{path}:{line}: {found}")
            continue
        one = Written(str(key.value).removeprefix("--").replace("_", "-"), (), plain(key), path, line)
        earlier = written.setdefault(one.name, one)
        if earlier is not one:
            wrong.add(one, f"found it again, expected it once (line {earlier.line} has it); fix: remove one of them")
        elif not _is_known(one.name, options):
            wrong.add(
                one, f"found '{one.field}', expected an option of this command; fix: {_nearest(one.name, options)}"
            )
        else:
            try:
                written[one.name] = replace(one, texts=_texts(one, value, options.get(one.name)))
            except _RefusedError as error:
                wrong.add(replace(one, line=error.line), str(error))
    return [one for one in written.values() if one.texts]


def _is_known(name: str, options: Mapping[str, Any]) -> bool:
    return name in options or f"--{name}" in TRITONSERVER_OPTIONS or f"--{name}" in RENAMED


def _nearest(name: str, options: Mapping[str, Any]) -> str:
    if name in ("config", "print-config", "help"):
        return "remove it: it only counts on the command line"
    near = difflib.get_close_matches(name.lower(), options, 1)
    return f"did you mean '{near[0]}'?" if near else "remove it"


def _example(param: Any) -> str:
    return example_of(param) if param is not None else "VALUE"


def _texts(one: Written, node: yaml.Node, param: Any) -> tuple[str, ...]:
    """The values, as the command line would have them.

    Args:
        param: None for an option that only tritonserver has.
    """
    repeatable = param is None or param.multiple
    if isinstance(node, yaml.SequenceNode) and repeatable:
        return tuple(_text(one, item, param) for item in node.value)
    if not isinstance(node, yaml.ScalarNode):
        expected = "one value, or a list of them" if repeatable else "one value"
        raise _RefusedError(node, describe(node), expected, one.example(_example(param)))
    return (_text(one, node, param),)


def _text(one: Written, node: yaml.Node, param: Any) -> str:
    """A scalar's text, unless it is one of those that YAML would not read as it says."""
    if not isinstance(node, yaml.ScalarNode) or (is_nothing(node) and not node.style):
        raise _RefusedError(node, describe(node), "a value", f"{one.example(_example(param))}, or remove the line")
    text, kind = str(node.value), node.tag.removeprefix(_TAG)
    boolean = is_switch(param) if param is not None else f"--{one.name}" in _SWITCHES_OF_TRITONSERVER
    quoted = one.example(f'"{plain(node)}"')
    if node.style is not None:
        return text
    if kind == "bool" and not (boolean and text.lower() in _SWITCH_WORDS):
        found = f"{text}, which YAML takes for {str(yaml.safe_load(text)).lower()}"
        raise _RefusedError(node, found, *(("true or false", one.example("true")) if boolean else ("text", quoted)))
    if kind in ("int", "float") and not _DECIMAL.fullmatch(text):
        found = f"{text}, which YAML takes for {yaml.safe_load(text)}"
        raise _RefusedError(node, found, _DIGITS_OR_TEXT, f"write it in digits alone; if it is text: {quoted}")
    if _NUMBER_TO_SOME.fullmatch(text):
        found = f"{text}, which some take for a number and some for text"
        raise _RefusedError(node, found, _DIGITS_OR_TEXT, f"write it in digits alone; if it is text: {quoted}")
    return text
