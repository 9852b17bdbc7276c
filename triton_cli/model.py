"""`tcli model`: what a running server serves, and loading and unloading there. Works with every V2 server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triton_cli.console import fail, out, printable
from triton_cli.model_view import show_config, show_index, show_json, show_statistics
from triton_cli.server_address import Protocol, Url, asked
from triton_cli.tables import one_line

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tcli_client import Transport

LOAD_SECONDS = 3600
"""Large models take long to load; the server's own time limits decide."""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

Name = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]
Version = Annotated[
    str,
    typer.Option(
        "-x",
        "--model-version",
        metavar="N",
        help="Its version. [default: the highest that is ready]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


@app.callback()
def model() -> None:
    """See, load and unload the models of a running server: tcli's, NVIDIA Triton or another V2 server.

    \b
    Examples:
      tcli model list
      tcli model load densenet_onnx
      tcli model stats -u grpc://gpu-box:8001
    """


@app.command("list")
def list_models(
    ready: Annotated[bool, typer.Option("--ready", help="Only what is ready.")] = False,
    json: AsJson = False,
    protocol: Protocol = None,
    url: Url = "localhost",
) -> None:
    """List the models of the server's repositories, with the state of each version and why it is not ready."""
    with asked(url, protocol) as server:
        rows = server.index(ready)
    if json:
        show_json([_document(row, defaults=False) for row in rows])
    else:
        show_index(rows, "no model is ready" if ready else "the server's repositories have no models")


@app.command()
def load(
    name: Name,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A config.pbtxt or JSON file to use instead of the model's own."),
    ] = None,
    protocol: Protocol = None,
    url: Url = "localhost",
) -> None:
    """Load a model, or load it anew if it has changed, and wait for it. The server must allow that.

    \b
    Examples:
      tcli serve --model-control-mode=explicit      (on the server)
      tcli model load densenet_onnx
      tcli model load densenet_onnx --config results/config.pbtxt
    """
    text = _read_config(config) if config is not None else ""
    with asked(url, protocol, LOAD_SECONDS) as server:
        server.load(name, text)
        versions = [row.version for row in server.index(ready=True) if row.name == name and row.version]
    version = f" version {', '.join(versions)}" if versions else ""
    out().print(f"loaded {printable(name)}{version}", markup=False)


@app.command()
def unload(
    name: Name,
    dependents: Annotated[
        bool,
        typer.Option("--unload-dependents", help="Of an ensemble, also the models that were loaded only for it."),
    ] = False,
    protocol: Protocol = None,
    url: Url = "localhost",
) -> None:
    """Take a model out of service; what is queued for it is still answered. Says which ensembles stop with it."""
    with asked(url, protocol, LOAD_SECONDS) as server:
        before = server.index()
        server.unload(name, dependents)
        after = server.index()
    if not any(row.name == name for row in before):  # servers answer that with success
        fail(f"the server knows no model '{name}'", "see `tcli model list` for those that it knows")
    out().print(f"unloaded {printable(name)}", markup=False)
    ready = {(row.name, row.version) for row in before if row.state == "READY"}
    for row in after:  # ensembles that are made of it, and their models
        if row.name != name and row.state != "READY" and (row.name, row.version) in ready:
            out().print(f"not ready any more: {printable(row.name)} ({one_line(row.reason)})", markup=False)


@app.command()
def config(
    name: Name,
    version: Version = "",
    json: AsJson = False,
    protocol: Protocol = None,
    url: Url = "localhost",
) -> None:
    """Show the complete configuration that a model runs with, as it would stand in a config.pbtxt."""
    with asked(url, protocol) as server:
        message = server.model_config(name, version)
    if json:
        show_json(_document(message))
    else:
        show_config(message)


@app.command()
def stats(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="One model. [default: all]", show_default=False)] = "",
    version: Version = "",
    json: AsJson = False,
    protocol: Protocol = None,
    url: Url = "localhost",
) -> None:
    """Show how many requests models have answered, in which batches, and where the time went.

    Times are averages of a request since the model was loaded, in milliseconds.
    """
    if version and not name:
        raise typer.BadParameter("a version is of a model: name it", param_hint="--model-version")
    with asked(url, protocol) as server:
        models = _statistics(server, name, version)
    if json:
        show_json([_document(each) for each in models])
    else:
        show_statistics(models)


def _statistics(server: "Transport", name: str, version: str) -> "list[Any]":
    return sorted(server.statistics(name, version), key=lambda each: (each.name, len(each.version), each.version))


def _document(message: "Message", defaults: bool = True) -> dict[str, Any]:
    """A message as V2's JSON has it: with its zeros, but for the index, which leaves out what is empty."""
    from tcli_server.messages import to_json

    return to_json(message, defaults=defaults)


def _read_config(path: Path) -> str:
    """A configuration file as the JSON text that servers take."""
    from google.protobuf import json_format, text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        fail(f"{path} cannot be read: {getattr(problem, 'strerror', None) or problem}")
    try:
        if text.lstrip().startswith("{"):
            message = json_format.Parse(text, ModelConfig())
        else:
            message = text_format.Parse(text, ModelConfig())
    except (json_format.ParseError, text_format.ParseError) as problem:
        fail(
            f"{path} is no model configuration: {problem}", "see `tcli repo check` for what it finds in a config.pbtxt"
        )
    return str(json_format.MessageToJson(message, preserving_proto_field_name=True))
