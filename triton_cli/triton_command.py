"""A command as tritonserver's: its spellings and all of its options are understood, and the help is in groups."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperCommand

from triton_cli.console import EXIT_WRONG, FailedError, err, fail, printable, warn
from triton_cli.option_sources import origin_of
from triton_cli.triton_options import SWITCH_WORDS, is_switch, sort_arguments, switch_word

_HELP_OF_OTHERS = (
    "tritonserver's other options are taken with a warning where they mean nothing here, and refused by name where they "
    "ask for something that is missing."
)


class TritonCommand(TyperCommand):
    """A command that takes tritonserver's command lines and spellings, and whose help shows options under their panels."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with_value = {name for param in self.params if not is_switch(param) for name in param.opts}
        arguments = sort_arguments(args, with_value)
        for warning in arguments.warnings.values():
            warn(warning)
        if arguments.refusals:
            names, are = ", ".join(arguments.refusals), "is" if len(arguments.refusals) == 1 else "are"
            fail(f"{names} {are} not supported", "; ".join(dict.fromkeys(arguments.refusals.values())))
        if sum(argument.partition("=")[0] == "--config" for argument in arguments.known) > 1:
            fail("--config is there more than once, and one file is read", "put all options into one file", EXIT_WRONG)
        return super().parse_args(ctx, self._with_explicit_switches(arguments.known))

    def invoke(self, ctx: Any) -> Any:
        """A wrong value that is not from the command line is told with its place."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            for name, origin in self._from_elsewhere(ctx):
                if error.param_hint == name:
                    error.param_hint = f"{error.param_hint} ({origin})"
            raise
        except FailedError as error:
            for name, origin in self._from_elsewhere(ctx):
                if re.search(rf"(?<![\w-]){name}(?![\w-])", error.message):
                    err().print(printable(f"  where: {name} is from {origin}"), markup=False)
            raise

    def _from_elsewhere(self, ctx: Any) -> Iterator[tuple[str, str]]:
        """Names of options that are neither from the command line nor defaults, and where they are from."""
        for param in self.params:
            if (origin := origin_of(ctx, param)) not in ("command line", "default"):
                yield from ((name, origin) for name in param.opts)

    def _with_explicit_switches(self, args: list[str]) -> list[str]:
        """`--x`, `--x off` and `--x=OFF` all as `--x=<true or false>`."""
        switches = {name for param in self.params if is_switch(param) for name in param.opts}
        explicit: list[str] = []
        rest = iter([*args, ""])
        argument = next(rest)
        for following in rest:
            name, given, value = argument.partition("=")
            if name in switches and not given and following.lower() in SWITCH_WORDS:
                value, following = following, next(rest, "")
            elif name in switches and not given:
                value = "true"
            explicit.append(f"{name}={switch_word(value)}" if name in switches else argument)
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
