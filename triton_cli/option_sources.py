"""Options from a YAML file and from the environment, for any command with `config_option`: command line before environment
before file before default.

What may come from there, its name and its type are those of the command's own parameters: one that is declared is known here.
"""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from triton_cli.console import EXIT_WRONG, err, printable, warn
from triton_cli.triton_options import is_switch, sort_arguments, switch_word
from triton_cli.tritonserver_options import RENAMED, TRITONSERVER_OPTIONS

PREFIX = "TCLI_"
SEPARATOR = ";"
"""Between the values of a repeatable option in the environment."""

_ORIGINS = "triton_cli.option_sources.origins"
_ALIKE = 0.8
"""How near, of 1, the name of a variable must be to one of ours to be taken for a mistyped one."""

_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True, slots=True)
class Written:
    """An option as a file or the environment has it.

    Attributes:
        name: as on the command line, without its dashes.
        texts: its values; one where the option is not repeatable.
        field: how it is called there.
        file: None for the environment.
        line: of the file, 1-based.
    """

    name: str
    texts: tuple[str, ...]
    field: str
    file: Path | None = None
    line: int = 0

    @property
    def origin(self) -> str:
        """Where it is, in one word or two."""
        return f"{self.file}:{self.line}" if self.file is not None else f"environment {self.field}"

    def example(self, value: str) -> str:
        """How to write it with another value."""
        return f"write {self.field}: {value}" if self.file is not None else f"set {self.field}={value}"


class Complaints:
    """What is wrong with a file and the environment, all of it."""

    def __init__(self) -> None:
        self._found: list[tuple[int, str]] = []

    def add(self, one: Written, message: str) -> None:
        """Note what is wrong with an option."""
        where = f"{one.origin}: {one.field}" if one.file is not None else one.origin
        self._found.append((one.line, f"{where}: {message}"))

    def add_line(self, line: int, message: str) -> None:
        """Note a whole message about a line."""
        self._found.append((line, message))

    def end(self, status: int) -> None:
        """Show them in the order of their lines, if there are any.

        Raises:
            Exit: with the status, if there are.
        """
        for _, message in sorted(self._found, key=lambda found: found[0]):
            err().print("[bold red]error:[/]", end=" ")
            err().print(printable(message), markup=False)
        if self._found:
            raise typer.Exit(status)


Others = Callable[[Mapping[str, str]], Iterable[Written]]
"""The options that variables of somebody else's stand for; everything else goes before them."""


def config_option(panel: str, others: Others) -> Any:
    """The option `--config FILE`, which reads the file and the environment before any other parameter is looked at."""

    def read(ctx: typer.Context, _: typer.CallbackParam, path: Path | None) -> Path | None:
        if not ctx.resilient_parsing:
            _read(ctx, path, others)
        return path

    return typer.Option(
        "--config",
        help="YAML file of options; those of the command line and of the environment (TCLI_HTTP_PORT for --http-port) go "
        "before it.",
        metavar="FILE",
        rich_help_panel=panel,
        is_eager=True,
        callback=read,
        envvar=f"{PREFIX}CONFIG",
        allow_from_autoenv=False,
    )


def settable(command: Any) -> dict[str, Any]:
    """The parameters that may come from a file or the environment, by each name without its dashes."""
    return {
        name.removeprefix("--"): param
        for param in command.params
        if param.param_type_name == "option" and param.allow_from_autoenv and param.name != "help"
        for name in param.opts
    }


def example_of(param: Any) -> str:
    """A value of the option's kind: its default, if it has one."""
    if param.multiple:
        return f"[{param.metavar}]"
    usual = getattr(param.default, "value", param.default)
    return str(param.metavar if usual in (None, "") else usual)


def origin_of(ctx: typer.Context, param: Any) -> str:
    """Where a parameter's value is from, such as `command line` or `server.yaml:3`."""
    origins: Mapping[str, str] = ctx.meta.get(_ORIGINS, {})
    source = ctx.get_parameter_source(param.name)
    if source is not None and source.name == "DEFAULT_MAP":
        return origins[param.name]
    return "command line" if source is not None and source.name == "COMMANDLINE" else "default"


def _read(ctx: typer.Context, path: Path | None, others: Others) -> None:
    """Make what file and environment say the defaults of the command.

    Raises:
        Exit: with all that is wrong with them.
    """
    options = settable(ctx.command)
    wrong, refused = Complaints(), Complaints()
    written: list[Written] = []
    if path is not None:
        from triton_cli.option_file import read_option_file

        written += read_option_file(path, options, wrong)
    written += _from_environment(os.environ, options)
    said = list(_renamed(written, refused))
    names = {options[one.name].name for one in said}
    said += [one for one in others(os.environ) if options[one.name].name not in names]
    values: dict[str, Any] = {}
    last: dict[str, Written] = {}
    for one in said:
        param = options[one.name]
        earlier = last.setdefault(param.name, one)
        if earlier is not one and earlier.file == one.file:  # the environment may say something else than the file
            wrong.add(one, f"found it again, expected it once ({earlier.origin} has it); fix: remove one of them")
        values[param.name], last[param.name] = _value(ctx, param, one, wrong), one
    wrong.end(EXIT_WRONG)
    refused.end(1)
    ctx.default_map = values
    ctx.meta[_ORIGINS] = {name: one.origin for name, one in last.items()}


def _from_environment(environment: Mapping[str, str], options: Mapping[str, Any]) -> Iterator[Written]:
    """What its variables say; one whose name is nearly an option's is warned of, as it was probably meant to be one."""
    variables = {variable_of(name): name for name in (*options, *_names_of_tritonserver())}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX) or not text or variable == f"{PREFIX}CONFIG":
            continue
        name = variables.get(variable)
        if name is None:
            short = variable.removeprefix(PREFIX).upper()
            near = difflib.get_close_matches(short, [known.removeprefix(PREFIX) for known in variables], 1, _ALIKE)
            if near:
                warn(f"{variable} in the environment is no option; did you mean {PREFIX}{near[0]}?")
        elif _SERVICE_LINK.match(text):
            warn(
                f"{variable}={text} in the environment is of a Kubernetes service with that name and no option; fix: "
                "enableServiceLinks: false in the pod, or another name for the service"
            )
        elif name in options and options[name].multiple:
            texts = tuple(stripped for part in text.split(SEPARATOR) if (stripped := part.strip()))
            if texts:
                yield Written(name, texts, variable)
        else:
            yield Written(name, (text,), variable)


def variable_of(name: str) -> str:
    """The variable of an option's name without dashes: `TCLI_HTTP_PORT` for `http-port`."""
    return PREFIX + name.replace("-", "_").upper()


def _names_of_tritonserver() -> list[str]:
    return [option.removeprefix("--") for option in (*TRITONSERVER_OPTIONS, *RENAMED)]


def _renamed(written: Iterable[Written], refused: Complaints) -> Iterator[Written]:
    """Those that are options here; of those that only tritonserver has, the refused ones are noted and the others warned of."""
    for one in written:
        found = sort_arguments([f"--{one.name}={text}" for text in one.texts], frozenset())
        for warning in found.warnings.values():
            warn(f"{one.origin}: {warning}")
        for name, fix in found.refusals.items():
            refused.add(one, f"{name} is not supported; fix: {fix}")
        if found.known:
            yield replace(one, name=found.known[0].partition("=")[0].removeprefix("--"))


def _value(ctx: typer.Context, param: Any, one: Written, wrong: Complaints) -> Any:
    """What the parameter takes as its default; what it would not take is noted."""
    texts = [switch_word(text) for text in one.texts] if is_switch(param) else list(one.texts)
    value = texts if param.multiple else texts[0]
    try:
        param.process_value(ctx, value)
    except typer.BadParameter as error:
        found = ", ".join(f"'{text[:60]}'" for text in one.texts)
        wrong.add(one, f"found {found}: {error.message.rstrip('.')}; fix: {one.example(example_of(param))}")
    return value
