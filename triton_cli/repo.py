"""`tcli repo`: scaffold a model repository, add models to it, see what it holds and what is wrong with it."""

import json
import os
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from triton_cli.console import err, out, printable, warn
from triton_cli.download_view import download_progress
from triton_cli.proof_view import escaped, proof_document, show_proofs
from triton_cli.repo_folder import DEFAULT_REPOSITORY, Repository, suggest, told
from triton_cli.repo_pictures import add_pictures
from triton_cli.repo_view import model_document, problem_document, show_models, show_problems, show_tree

if TYPE_CHECKING:
    from tcli_server.models.draft import BackendConfig
    from tcli_server.proof import Proof
    from tcli_server.repository.repositories import Repositories

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)


@app.callback()
def repo() -> None:
    """Scaffold a model repository, add models to it, list and check them.

    \b
    Examples:
      tcli repo init
      tcli repo add resnet50.onnx --labels imagenet.txt
      tcli repo add-pictures resnet50
      tcli repo list
      tcli repo check
    """


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Where the repository is to be.")] = DEFAULT_REPOSITORY,
    force: Annotated[bool, typer.Option("--force", help="Write both models anew where they exist.")] = False,
    source: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="Where to get densenet-7.onnx from, and from nowhere else."),
    ] = None,
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble", help="Add an ensemble for each that takes picture files, as 'tcli repo add-pictures'."
        ),
    ] = False,
) -> None:
    """Scaffold a model repository with two image classifiers.

    efficientnet_lite0 is trained and built offline. densenet_onnx is the model of NVIDIA Triton's quickstart: its
    published weights are downloaded (33 MB, kept in a cache); without a network the same graph gets random weights and
    is marked as a placeholder. What exists is left as it is unless you say --force.

    \b
    Examples:
      tcli repo init
      tcli repo init /srv/models
      tcli repo init --ensemble
      tcli repo init --source ~/Downloads/densenet-7.onnx
      tcli repo init --force
    """
    from tcli_server.zoo import scaffold_densenet_onnx, scaffold_efficientnet_lite0, scaffold_pictures

    with told(path, "write it anew with --force, or choose another PATH"):
        scaffolds = [scaffold_efficientnet_lite0(path, force)]
        with download_progress() as watch:
            scaffolds.append(scaffold_densenet_onnx(path, source, force, partial(watch, "densenet-7.onnx")))
        if ensemble:
            scaffolds += [one for model in list(scaffolds) for one in scaffold_pictures(path, model.name, force)]
    show_tree(path, scaffolds)
    for scaffold in scaffolds:
        if scaffold.placeholder is not None:
            warn(
                f"{scaffold.name} has placeholder weights ({scaffold.placeholder}): its timings are real, its answers "
                f"mean nothing; with a network: tcli repo init {shlex.quote(str(path))} --force"
            )
    suggest("tcli serve", path)


@app.command()
def add(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="The model's file or folder, its address (https://...), or hf:ORG/NAME[/FILE][@REVISION].",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="The model's name. [default: the file's or folder's]", show_default=False)
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Class names, one a line, for a classifier.")
    ] = None,
    max_batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="The largest batch, 0 for no batching. [default: 8 where the graph can batch, else 0]",
            show_default=False,
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="What is to run it, as openvino for an ONNX file. [default: as the model tells]"
        ),
    ] = "",
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME:TYPE:SHAPE",
            help="What a TorchScript file does not say of an input: x:FP32:-1,3,224,224, -1 for what varies (repeatable).",
        ),
    ] = None,
    model_repository: Repository = DEFAULT_REPOSITORY,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that exists.")] = False,
) -> None:
    """Make a model folder from a file or folder: its backend, inputs, outputs and batching are read from the model.

    \b
    Examples:
      tcli repo add resnet50.onnx
      tcli repo add saved_model/
      tcli repo add resnet50.onnx --backend openvino
      tcli repo add scripted.pt --input x:FP32:-1,3,224,224
      tcli repo add export/model.onnx --name my_model --max-batch-size 16
      tcli repo add classifier.onnx --labels classes.txt
      tcli repo add https://host/models/resnet50.onnx
      tcli repo add hf:ORG/NAME
      tcli repo add hf:ORG/NAME/onnx/model_quantized.onnx@main --name small
    """
    from tcli_server.zoo import add_model
    from triton_cli.model_source import model_on_disk

    with told(model_repository, "replace it with --force, or give another name with --name"):
        found = model_on_disk(model, model_repository, name, force)
        added = add_model(
            found.path,
            model_repository,
            name or found.name,
            labels,
            max_batch_size,
            force,
            found.comments,
            found.beside,
            tuple(inputs or ()),
            backend,
        )
    console = out()
    console.print(printable(f"added {added.config.name} to {model_repository}\n"), markup=False)
    console.print(printable((added.path / "config.pbtxt").read_text("utf-8")), markup=False)
    for note in (*found.notes, *added.notes):
        console.print(printable(f"note: {note}"), markup=False)
    suggest("tcli serve", model_repository)


@app.command("list")
def list_models(
    model_repository: Repository = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """List the models of a repository with their versions, inputs and outputs.

    \b
    Examples:
      tcli repo list
      tcli repo list --model-repository /srv/models --json
    """
    from tcli_server.models.overview import model_overviews

    with told(model_repository):
        models = model_overviews(model_repository)
    if as_json:
        typer.echo(json.dumps([model_document(model) for model in models], indent=2))
    elif not models:
        text = f"{model_repository} has no models; 'tcli repo init' or 'tcli repo add' writes some"
        out().print(printable(text), markup=False)
    else:
        show_models(models)


@app.command()
def check(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Check this model only.")] = None,
    model_repository: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help=f"The model repository (repeatable, for those that are served together). [default: {DEFAULT_REPOSITORY}]",
        ),
    ] = None,
    model_namespacing: Annotated[
        bool,
        typer.Option("--model-namespacing", help="Several repositories may have models of the same name."),
    ] = False,
    backend_directory: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of Python-based backends, as 'tcli serve' takes it.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also run each model: does a batch give what its items give alone?")
    ] = False,
    deep_timeout: Annotated[
        float, typer.Option(metavar="SECS", min=0.1, help="How long --deep may take for a version of a model.")
    ] = 120,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:
    """Find everything that is wrong with the models of a repository, before a server does.

    Loads every model as a server would and tells all problems at once, each with file, line, field, what was found,
    what was expected and how to fix it. The exit status is 1 where a server could not load a model, or where --deep finds
    batches that answer wrongly; what is only worth knowing is a note.

    \b
    Examples:
      tcli repo check
      tcli repo check densenet_onnx
      tcli repo check --deep
      tcli repo check --model-repository /srv/models --json
    """
    from tcli_server.models.check import check_repositories, checked_models
    from tcli_server.models.draft import BACKEND_DIRECTORY
    from tcli_server.repository.repositories import Repositories

    paths = model_repository or [DEFAULT_REPOSITORY]
    repositories = Repositories(paths, model_namespacing)
    absent = [path for path in paths if not os.path.lexists(path)]
    with told((absent or paths)[0]):
        checked = checked_models(repositories, model)
        settings = {"": {BACKEND_DIRECTORY: str(backend_directory)}} if backend_directory is not None else None
        problems = check_repositories(repositories, model, settings)
        proofs = _proofs(repositories, checked, settings, deep_timeout) if deep else []
        problems += [proof.problem for proof in proofs if proof.problem is not None]
    if as_json:
        document: dict[str, Any] = {
            "models": checked,
            "problems": [problem_document(problem) for problem in problems],
        }
        if deep:
            document["batches"] = [proof_document(proof) for proof in proofs]
        typer.echo(json.dumps(document, indent=2))
    else:
        show_proofs(proofs)
        show_problems(problems, checked, paths)
    if any(problem.blocks for problem in problems):
        raise typer.Exit(1)


app.command("add-pictures")(add_pictures)


def _proofs(
    repositories: "Repositories", models: list[str], settings: "BackendConfig | None", limit: float
) -> "list[Proof]":
    """What running the models showed; says which is being run where somebody watches."""
    from tcli_server.proof import prove_repositories

    with err().status("") as status:

        def begin(model: str) -> None:
            status.update(f"running {escaped(model)} alone and in batches ...")

        return list(prove_repositories(repositories, models, settings, limit, begin))
