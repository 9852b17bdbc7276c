"""The command line: one Typer app, each command in a file of its own."""

import typer

from triton_cli import analyze, model, repo
from triton_cli.backends import backends
from triton_cli.demo import demo
from triton_cli.infer import infer
from triton_cli.perf import perf
from triton_cli.perf_options import PerfCommand
from triton_cli.repo_pictures import add_pictures
from triton_cli.serve import serve
from triton_cli.triton_options import TritonCommand

app = typer.Typer(
    name="tcli",
    help="NVIDIA Triton's workflow in one command: scaffold a model repository, serve it, ask it, tune it.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help takes three times as long to appear, most of it importing a Markdown parser
    pretty_exceptions_enable=False,
)


@app.callback()
def root() -> None:
    """NVIDIA Triton's workflow in one command: scaffold a model repository, serve it, ask it, tune it."""


app.add_typer(analyze.app, name="analyze")
app.command()(backends)
app.command()(demo)
app.command()(infer)
app.command(cls=PerfCommand)(perf)
app.command(cls=TritonCommand)(serve)
app.add_typer(model.app, name="model")
repo.app.command("add-pictures")(add_pictures)
app.add_typer(repo.app, name="repo")
