"""Options as tritonserver takes them: switches that may carry a value, options of its that we lack, help in groups."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import typer
from typer.core import TyperCommand

from triton_cli.console import fail, warn
from triton_cli.tritonserver_options import RENAMED, TRITONSERVER_OPTIONS

_METAVAR = "BOOL"
_WORDS = {"true": "true", "on": "true", "1": "true", "false": "false", "off": "false", "0": "false"}
_HELP_OF_OTHERS = (
    "tritonserver's other options are taken with a warning where they mean nothing here, and refused by name where they "
    "ask for something that is missing."
)


class Switch(StrEnum):
    """A boolean option's value: `--x`, `--x=false`, `--x off`, ..."""

    TRUE = "true"
    FALSE = "false"

    def __bool__(self) -> bool:
        return self is Switch.TRUE


def switch(panel: str, text: str) -> Any:
    """A boolean option; its command must be a `TritonCommand`."""
    return typer.Option(metavar=_METAVAR, help=text, rich_help_panel=panel, case_sensitive=False)


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
            if not given and (not foreign.boolean or following.lower() in _WORDS):
                value, at = following, at + 1
            elif not given:
                value = "true"
            value = _WORDS.get(value.lower(), value) if foreign.boolean else value.lower()
            if value not in foreign.harmless and foreign.refused:
                result.refusals[name] = foreign.text
            elif value not in foreign.harmless:
                result.warnings[name] = f"{name} has no effect here: {foreign.text}"
        at += 1
    return result


class TritonCommand(TyperCommand):
    """A command that takes tritonserver's command lines and spellings, and whose help shows options under their panels."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with_value = {name for param in self.params if param.metavar != _METAVAR for name in param.opts}
        arguments = sort_arguments(args, with_value)
        for warning in arguments.warnings.values():
            warn(warning)
        if arguments.refusals:
            names, are = ", ".join(arguments.refusals), "is" if len(arguments.refusals) == 1 else "are"
            fail(f"{names} {are} not supported", "; ".join(dict.fromkeys(arguments.refusals.values())))
        return super().parse_args(ctx, self._with_explicit_switches(arguments.known))

    def _with_explicit_switches(self, args: list[str]) -> list[str]:
        """`--x`, `--x off` and `--x=OFF` all as `--x=<true or false>`."""
        switches = {name for param in self.params if param.metavar == _METAVAR for name in param.opts}
        explicit: list[str] = []
        rest = iter([*args, ""])
        argument = next(rest)
        for following in rest:
            name, given, value = argument.partition("=")
            if name in switches and not given and following.lower() in _WORDS:
                value, following = following, next(rest, "")
            elif name in switches and not given:
                value = "true"
            explicit.append(f"{name}={_WORDS.get(value.lower(), value)}" if name in switches else argument)
            argument = following
        return explicit

    def format_options(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                panels.setdefault(getattr(param, "rich_help_panel", None) or "Other", []).append(record)
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records)
        formatter.write_paragraph()
        formatter.write_text(_HELP_OF_OTHERS)
