"""What `--print-config` shows: the options as a file for `--config`, and where each is from."""

import sys
from decimal import Decimal
from typing import Any

import typer
import yaml

from triton_cli.option_sources import origin_of, settable
from triton_cli.tables import one_line
from triton_cli.triton_options import Switch, is_switch


def options_as_yaml(ctx: typer.Context) -> str:
    """YAML that `--config` reads back; what is not set, and what is secret, is a comment only."""
    panels: dict[str, list[str]] = {}
    shown = {id(param): param for param in settable(ctx.command).values()}
    for param in shown.values():
        panels.setdefault(param.rich_help_panel, []).extend(
            _lines(param, ctx.params[param.name], one_line(origin_of(ctx, param)))
        )
    parameters: list[Any] = ctx.command.params
    for param in parameters:
        if param.param_type_name == "argument" and ctx.params[param.name] is not None:
            panels[param.rich_help_panel].append(f"# {one_line(ctx.params[param.name])}: an argument  # command line")
    return "\n".join(f"# {panel}\n" + "".join(f"{line}\n" for line in lines) for panel, lines in panels.items())


def _lines(param: Any, value: Any, origin: str) -> list[str]:
    key = param.opts[0].removeprefix("--")
    if value is None or value == [] or value == ():
        return [f"# {key}: not set  # {origin}"]
    if param.hide_input and value:
        return [f"# {key}: secret, not shown  # {origin}"]
    if is_switch(param):
        return [f"{key}: {'true' if value == Switch.TRUE else 'false'}  # {origin}"]
    if isinstance(value, list | tuple):
        return [f"{key}:  # {origin}", *(f"  - {_scalar(item)}" for item in value)]
    return [f"{key}: {_scalar(value)}  # {origin}"]


def _scalar(value: object) -> str:
    """Numbers in plain digits, texts always in quotes: then none of them is anything else to YAML."""
    if isinstance(value, int | float):
        return format(Decimal(str(value)), "f")
    return yaml.safe_dump(str(value), default_style='"', allow_unicode=True, width=sys.maxsize).rstrip()
