"""The command line: one Typer app, each command in a file of its own that is loaded when the command is called."""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from triton_cli.console import answer

COMMANDS = {
    "demo": "Scaffold, serve, classify and analyze, step by step, with the plain command for each step.",
    "repo": "Scaffold a model repository, add models to it, list and check them.",
    "serve": "Serve the models of a repository: HTTP on port 8000, gRPC on 8001, metrics on 8002.",
    "infer": "Classify images, or run a model over data, with tcli, Triton or another V2 server, or without any.",
    "model": "See, load and unload the models of a running server: tcli's, NVIDIA Triton or another V2 server.",
    "top": "Watch the models of any V2 server: requests, errors, queue, batches, latency, and its CPU and GPUs.",
    "perf": "Put a model of a server under load, as perf_analyzer does: same options, same CSV and JSON.",
    "analyze": "Find the best configuration of a model: batch size, instances, threads, engine, precision and more.",
    "plan": "Say how many replicas keep a latency objective at a rate, from what `tcli analyze` has measured.",
    "deploy": "Write manifests for Kubernetes (Helm, Kustomize, KServe), compose or Swarm, filled in for your repository.",
    "backends": "List the backends: those that are installed with their versions and devices, and what brings the others.",
}
"""Name, which is that of its file too -> the first line of its help, in the order of their use. The file's `app` is the command."""


class FileGroup(TyperGroup):
    """Shows its commands as `COMMANDS` has them, and loads the file of the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=text) for name, text in COMMANDS.items()}
        _say_all(self)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, left = super().resolve_command(ctx, args)
        if name is not None:
            command = typer.main.get_command(import_module(f"triton_cli.{name}").app)
            if isinstance(command, TyperGroup):
                _say_all(command)
        return name, command, left


def _say_all(group: TyperGroup) -> None:
    """Have the list of its commands wrap the first line of each one's help, which is cut off else."""
    for command in group.commands.values():
        command.short_help = " ".join((command.help or "").partition("\n\n")[0].split())


app = typer.Typer(
    name="tcli",
    help="NVIDIA Triton's workflow in one command: scaffold a model repository, serve it, ask it, tune it.",
    cls=FileGroup,
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help takes three times as long to appear, most of it importing a Markdown parser
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from tcli_server.version import VERSION

        answer(f"tcli {VERSION}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """NVIDIA Triton's workflow in one command: scaffold a model repository, serve it, ask it, tune it."""
