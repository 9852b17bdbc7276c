"""The command line: one Typer app, each command in a file of its own that is loaded when the command is called."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "backends": "List the backends: those that are installed with their versions and devices, and what brings the others.",
    "demo": "Scaffold, serve, classify and analyze, step by step, with the plain command for each step.",
    "infer": "Classify images, or run a model over data, with tcli, Triton or another V2 server, or without any.",
    "perf": "Put a model of a server under load, as perf_analyzer does: same options, same CSV and JSON.",
    "serve": "Serve the models of a repository: HTTP on port 8000, gRPC on 8001, metrics on 8002.",
    "analyze": "Find the best configuration of a model: batch size, instances, threads, engine, precision and more.",
    "model": "See, load and unload the models of a running server: tcli's, NVIDIA Triton or another V2 server.",
    "top": "Watch the models of any V2 server: requests, errors, queue, batches, latency, and its CPU and GPUs.",
    "plan": "Say how many replicas keep a latency objective at a rate, from what `tcli analyze` has measured.",
    "deploy": "Write manifests for Kubernetes (Helm, Kustomize, KServe), compose or Swarm, filled in for your repository.",
    "repo": "Scaffold a model repository, add models to it, list and check them.",
}
"""Name, which is that of its file too -> the first line of its help. The file's `app` is the command."""


class FileGroup(TyperGroup):
    """Shows its commands as `COMMANDS` has them, and loads the file of the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=text) for name, text in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, left = super().resolve_command(ctx, args)
        if name is not None:
            command = typer.main.get_command(import_module(f"triton_cli.{name}").app)
        return name, command, left


app = typer.Typer(
    name="tcli",
    help="NVIDIA Triton's workflow in one command: scaffold a model repository, serve it, ask it, tune it.",
    cls=FileGroup,
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help takes three times as long to appear, most of it importing a Markdown parser
    pretty_exceptions_enable=False,
)


@app.callback()
def root() -> None:
    """NVIDIA Triton's workflow in one command: scaffold a model repository, serve it, ask it, tune it."""
