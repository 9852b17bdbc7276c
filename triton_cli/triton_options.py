"""Options as tritonserver takes them: switches that may carry a value, and options of its that we lack."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import typer

from triton_cli.tritonserver_options import RENAMED, TRITONSERVER_OPTIONS

_METAVAR = "BOOL"
SWITCH_WORDS = {"true": "true", "on": "true", "1": "true", "false": "false", "off": "false", "0": "false"}


class Switch(StrEnum):
    """A boolean option's value: `--x`, `--x=false`, `--x off`, ..."""

    TRUE = "true"
    FALSE = "false"

    def __bool__(self) -> bool:
        return self is Switch.TRUE


def switch(panel: str, text: str, from_file: bool = True) -> Any:
    """A boolean option; its command must be a `TritonCommand`.

    Args:
        from_file: it may also come from a file of options or from the environment.
    """
    return typer.Option(
        metavar=_METAVAR, help=text, rich_help_panel=panel, case_sensitive=False, allow_from_autoenv=from_file
    )


def is_switch(param: Any) -> bool:
    """Whether a parameter was made by `switch`."""
    return bool(param.metavar == _METAVAR)


def switch_word(text: str) -> str:
    """`true` or `false` for what says so; anything else as it is."""
    return SWITCH_WORDS.get(text.lower(), text)


@dataclass(slots=True)
class SortedArguments:
    """A command line without the options that only tritonserver has.

    Attributes:
        known: what is left, in its order.
        warnings: by name, for each option that has no effect here or a newer name.
        refusals: name -> what to do instead, for each option that asks for something that is missing.
    """

    known: list[str] = field(default_factory=list)
    warnings: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)


def sort_arguments(arguments: Sequence[str], with_value: Set[str]) -> SortedArguments:
    """Take the options that only tritonserver has out of a command line.

    Args:
        with_value: options of the command whose value may be the next argument, whatever that looks like.
    """
    result = SortedArguments()
    at = 0
    while at < len(arguments):
        name, given, value = arguments[at].partition("=")
        foreign = TRITONSERVER_OPTIONS.get(name)
        if name in RENAMED:
            result.warnings[name] = f"{name} is deprecated; fix: write {RENAMED[name]}"
            result.known.append(RENAMED[name] + given + value)
        elif foreign is None:
            alone = bool(given) or name not in with_value
            result.known += arguments[at : at + 1 + (not alone)]
            at += not alone
        else:
            following = arguments[at + 1] if at + 1 < len(arguments) else ""
            if not given and (not foreign.boolean or following.lower() in SWITCH_WORDS):
                at += 1
            if foreign.refused:
                result.refusals[name] = foreign.text
            else:
                result.warnings[name] = f"{name} has no effect here: {foreign.text}"
        at += 1
    return result
