"""Options as tritonserver takes them: switches that may carry a value, and help in groups."""

from enum import StrEnum
from typing import Any

import typer
from typer.core import TyperCommand

_METAVAR = "BOOL"
_WORDS = {"true": "true", "on": "true", "1": "true", "false": "false", "off": "false", "0": "false"}


class Switch(StrEnum):
    """A boolean option's value: `--x`, `--x=false`, `--x off`, ..."""

    TRUE = "true"
    FALSE = "false"

    def __bool__(self) -> bool:
        return self is Switch.TRUE


def switch(panel: str, text: str) -> Any:
    """A boolean option; its command must be a `TritonCommand`."""
    return typer.Option(metavar=_METAVAR, help=text, rich_help_panel=panel, case_sensitive=False)


class TritonCommand(TyperCommand):
    """A command whose switches accept Triton's spellings, and whose help shows options under their panels."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._with_explicit_switches(args))

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
